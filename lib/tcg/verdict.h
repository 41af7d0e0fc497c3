/* The verdict on each quoted PCR: do the logs at hand explain its value? A status for people and policies, no gate: the logs are sent as they are. */
#pragma once

#include "tcg/eventlog.h"
#include "tcg/evidence.h"
#include "tcg/ima.h"

/* The strongest bank that values hold: the largest digest, the first of equals. NULL if there is no bank. */
const PcrBank *pcr_values_strongest(const PcrValues *values);

/* Judges the strongest bank of quoted. boot is the replay of the firmware log, ima the replay of the IMA list up to the prefix that is sent; NULL
 * where there is no such log. A PCR that a log mentions in another bank only counts as mentioned. */
void verdict_for_pcrs(const PcrValues *quoted, const EventLogReplay *boot, const ImaReplay *ima, PcrVerdict ret_verdicts[PCR_COUNT]);
