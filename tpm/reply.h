/* Values as the dictionaries a{sv} that the comment of collector.h lists. Negative errno as sd-bus has it. */
#pragma once

#include "collector/collector.h"

int reply_append_info(sd_bus_message *reply, const CollectorInfo *info);
int reply_append_endorsement(sd_bus_message *reply, const CollectorEndorsement *endorsement);
int reply_append_evidence(sd_bus_message *reply, const Evidence *evidence);
