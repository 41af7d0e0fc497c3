/* One attestation as a table: (state, event) → (state, effect). Pure and total; docs/session-states.md draws it.
 *
 *     IDLE → CREDENTIAL → INIT → QUOTE → REQUEST → VALIDATE → ATTESTED | FAILED | CANCELLED
 */
#pragma once

typedef enum SessionState {
        SESSION_IDLE,
        SESSION_CREDENTIAL,
        SESSION_INIT,
        SESSION_QUOTE,
        SESSION_REQUEST,
        SESSION_VALIDATE,
        SESSION_ATTESTED,
        SESSION_FAILED,
        SESSION_CANCELLED,
        _SESSION_STATE_MAX,
} SessionState;

typedef enum SessionEvent {
        SESSION_EVENT_START,
        SESSION_EVENT_CREDENTIAL_READY,
        SESSION_EVENT_CHALLENGE_RECEIVED,
        SESSION_EVENT_EVIDENCE_READY,
        SESSION_EVENT_VBS_REPORT_NEEDED,
        SESSION_EVENT_SIGNATURE_NEEDED,
        SESSION_EVENT_REPORT_RECEIVED,
        SESSION_EVENT_KEYS_NEEDED,
        SESSION_EVENT_KEYS_READY,
        SESSION_EVENT_TOKEN_VALID,
        SESSION_EVENT_FAILURE,    /* of the effect that is under way; the session holds the error */
        SESSION_EVENT_DEADLINE,   /* of the state */
        SESSION_EVENT_CANCEL,
        _SESSION_EVENT_MAX,
} SessionEvent;

typedef enum SessionEffect {
        SESSION_EFFECT_IGNORE,    /* the event has no meaning here: nothing changes */
        SESSION_EFFECT_GET_CREDENTIAL,
        SESSION_EFFECT_SEND_INIT,
        SESSION_EFFECT_COLLECT,
        SESSION_EFFECT_GET_VBS_REPORT,
        SESSION_EFFECT_SIGN,
        SESSION_EFFECT_SEND_REQUEST,
        SESSION_EFFECT_CHECK_TOKEN,
        SESSION_EFFECT_FETCH_KEYS,
        SESSION_EFFECT_FINISH,
        _SESSION_EFFECT_MAX,
} SessionEffect;

typedef struct SessionTransition {
        SessionState state;
        SessionEffect effect;
} SessionTransition;

SessionTransition session_transition(SessionState state, SessionEvent event);
const char *session_state_to_string(SessionState state);   /* "idle", "credential", … */
const char *session_event_to_string(SessionEvent event);
int session_state_is_final(SessionState state);
