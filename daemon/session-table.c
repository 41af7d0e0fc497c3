/* See session-table.h. Each state handles the events that belong to it; failure, deadline and cancel end every state that is not final. */
#include "daemon/session-table.h"

#define IGNORE(state) ((SessionTransition) { state, SESSION_EFFECT_IGNORE })

int session_state_is_final(SessionState state) {
        return state == SESSION_ATTESTED || state == SESSION_FAILED || state == SESSION_CANCELLED;
}

static SessionTransition from_active(SessionState state, SessionEvent event) {
        switch (event) {
        case SESSION_EVENT_CREDENTIAL_READY:
                if (state == SESSION_CREDENTIAL)
                        return (SessionTransition) { SESSION_INIT, SESSION_EFFECT_SEND_INIT };
                return IGNORE(state);
        case SESSION_EVENT_CHALLENGE_RECEIVED:
                if (state == SESSION_INIT)
                        return (SessionTransition) { SESSION_QUOTE, SESSION_EFFECT_COLLECT };
                return IGNORE(state);
        case SESSION_EVENT_EVIDENCE_READY:
                if (state == SESSION_QUOTE)
                        return (SessionTransition) { SESSION_REQUEST, SESSION_EFFECT_SEND_REQUEST };
                return IGNORE(state);
        case SESSION_EVENT_VBS_REPORT_NEEDED:
                if (state == SESSION_QUOTE)
                        return (SessionTransition) { SESSION_QUOTE, SESSION_EFFECT_GET_VBS_REPORT };
                return IGNORE(state);
        case SESSION_EVENT_SIGNATURE_NEEDED:
                if (state == SESSION_QUOTE)
                        return (SessionTransition) { SESSION_QUOTE, SESSION_EFFECT_SIGN };
                return IGNORE(state);
        case SESSION_EVENT_REPORT_RECEIVED:
                if (state == SESSION_REQUEST)
                        return (SessionTransition) { SESSION_VALIDATE, SESSION_EFFECT_CHECK_TOKEN };
                return IGNORE(state);
        case SESSION_EVENT_KEYS_NEEDED:
                if (state == SESSION_VALIDATE)
                        return (SessionTransition) { SESSION_VALIDATE, SESSION_EFFECT_FETCH_KEYS };
                return IGNORE(state);
        case SESSION_EVENT_KEYS_READY:
                if (state == SESSION_VALIDATE)
                        return (SessionTransition) { SESSION_VALIDATE, SESSION_EFFECT_CHECK_TOKEN };
                return IGNORE(state);
        case SESSION_EVENT_TOKEN_VALID:
                if (state == SESSION_VALIDATE)
                        return (SessionTransition) { SESSION_ATTESTED, SESSION_EFFECT_FINISH };
                return IGNORE(state);
        case SESSION_EVENT_FAILURE:
        case SESSION_EVENT_DEADLINE:
                return (SessionTransition) { SESSION_FAILED, SESSION_EFFECT_FINISH };
        case SESSION_EVENT_CANCEL:
                return (SessionTransition) { SESSION_CANCELLED, SESSION_EFFECT_FINISH };
        case SESSION_EVENT_START:
        case _SESSION_EVENT_MAX:
                return IGNORE(state);
        }
        return IGNORE(state);
}

static SessionTransition from_idle(SessionEvent event) {
        if (event == SESSION_EVENT_START)
                return (SessionTransition) { SESSION_CREDENTIAL, SESSION_EFFECT_GET_CREDENTIAL };
        if (event == SESSION_EVENT_CANCEL)
                return (SessionTransition) { SESSION_CANCELLED, SESSION_EFFECT_FINISH };
        return IGNORE(SESSION_IDLE);
}

SessionTransition session_transition(SessionState state, SessionEvent event) {
        switch (state) {
        case SESSION_IDLE:
                return from_idle(event);
        case SESSION_CREDENTIAL:
        case SESSION_INIT:
        case SESSION_QUOTE:
        case SESSION_REQUEST:
        case SESSION_VALIDATE:
                return from_active(state, event);
        case SESSION_ATTESTED:
        case SESSION_FAILED:
        case SESSION_CANCELLED:
        case _SESSION_STATE_MAX:
                return IGNORE(state);
        }
        return IGNORE(state);
}

const char *session_state_to_string(SessionState state) {
        switch (state) {
        case SESSION_IDLE:
                return "idle";
        case SESSION_CREDENTIAL:
                return "credential";
        case SESSION_INIT:
                return "init";
        case SESSION_QUOTE:
                return "quote";
        case SESSION_REQUEST:
                return "request";
        case SESSION_VALIDATE:
                return "validate";
        case SESSION_ATTESTED:
                return "attested";
        case SESSION_FAILED:
                return "failed";
        case SESSION_CANCELLED:
                return "cancelled";
        case _SESSION_STATE_MAX:
                break;
        }
        return "?";
}

const char *session_event_to_string(SessionEvent event) {
        switch (event) {
        case SESSION_EVENT_START:
                return "start";
        case SESSION_EVENT_CREDENTIAL_READY:
                return "credential-ready";
        case SESSION_EVENT_CHALLENGE_RECEIVED:
                return "challenge-received";
        case SESSION_EVENT_EVIDENCE_READY:
                return "evidence-ready";
        case SESSION_EVENT_VBS_REPORT_NEEDED:
                return "vbs-report-needed";
        case SESSION_EVENT_SIGNATURE_NEEDED:
                return "signature-needed";
        case SESSION_EVENT_REPORT_RECEIVED:
                return "report-received";
        case SESSION_EVENT_KEYS_NEEDED:
                return "keys-needed";
        case SESSION_EVENT_KEYS_READY:
                return "keys-ready";
        case SESSION_EVENT_TOKEN_VALID:
                return "token-valid";
        case SESSION_EVENT_FAILURE:
                return "failure";
        case SESSION_EVENT_DEADLINE:
                return "deadline";
        case SESSION_EVENT_CANCEL:
                return "cancel";
        case _SESSION_EVENT_MAX:
                break;
        }
        return "?";
}
