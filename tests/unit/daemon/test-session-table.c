/* The session table, cell by cell, against the table of docs/session-states.md. */
#include "tests/support/unit.h"

#include "daemon/session-table.h"

typedef struct Cell {
        SessionState state;
        SessionEvent event;
        SessionState to;
        SessionEffect effect;
} Cell;

static const Cell cells[] = {
        { SESSION_IDLE, SESSION_EVENT_START, SESSION_CREDENTIAL, SESSION_EFFECT_GET_CREDENTIAL },
        { SESSION_CREDENTIAL, SESSION_EVENT_CREDENTIAL_READY, SESSION_INIT, SESSION_EFFECT_SEND_INIT },
        { SESSION_INIT, SESSION_EVENT_CHALLENGE_RECEIVED, SESSION_QUOTE, SESSION_EFFECT_COLLECT },
        { SESSION_QUOTE, SESSION_EVENT_VBS_REPORT_NEEDED, SESSION_QUOTE, SESSION_EFFECT_GET_VBS_REPORT },
        { SESSION_QUOTE, SESSION_EVENT_SIGNATURE_NEEDED, SESSION_QUOTE, SESSION_EFFECT_SIGN },
        { SESSION_QUOTE, SESSION_EVENT_EVIDENCE_READY, SESSION_REQUEST, SESSION_EFFECT_SEND_REQUEST },
        { SESSION_REQUEST, SESSION_EVENT_REPORT_RECEIVED, SESSION_VALIDATE, SESSION_EFFECT_CHECK_TOKEN },
        { SESSION_VALIDATE, SESSION_EVENT_KEYS_NEEDED, SESSION_VALIDATE, SESSION_EFFECT_FETCH_KEYS },
        { SESSION_VALIDATE, SESSION_EVENT_KEYS_READY, SESSION_VALIDATE, SESSION_EFFECT_CHECK_TOKEN },
        { SESSION_VALIDATE, SESSION_EVENT_TOKEN_VALID, SESSION_ATTESTED, SESSION_EFFECT_FINISH },
#define ENDINGS(state)                                                                                       \
        { state, SESSION_EVENT_FAILURE, SESSION_FAILED, SESSION_EFFECT_FINISH },                             \
        { state, SESSION_EVENT_DEADLINE, SESSION_FAILED, SESSION_EFFECT_FINISH },                            \
        { state, SESSION_EVENT_CANCEL, SESSION_CANCELLED, SESSION_EFFECT_FINISH }
        ENDINGS(SESSION_CREDENTIAL),
        ENDINGS(SESSION_INIT),
        ENDINGS(SESSION_QUOTE),
        ENDINGS(SESSION_REQUEST),
        ENDINGS(SESSION_VALIDATE),
        { SESSION_IDLE, SESSION_EVENT_CANCEL, SESSION_CANCELLED, SESSION_EFFECT_FINISH },
};

static const Cell *find_cell(SessionState state, SessionEvent event) {
        for (size_t i = 0; i < N_ELEMENTS(cells); i++)
                if (cells[i].state == state && cells[i].event == event)
                        return &cells[i];
        return NULL;
}

static void test_session_transition_every_cell_is_as_documented(void **state) {
        for (unsigned s = 0; s < _SESSION_STATE_MAX; s++)
                for (unsigned e = 0; e < _SESSION_EVENT_MAX; e++) {
                        SessionTransition got = session_transition((SessionState) s, (SessionEvent) e);
                        const Cell *cell = find_cell((SessionState) s, (SessionEvent) e);
                        assert_int_equal(got.state, cell ? cell->to : (SessionState) s);
                        assert_int_equal(got.effect, cell ? cell->effect : SESSION_EFFECT_IGNORE);
                }
}

static void test_session_transition_final_states_are_deaf(void **state) {
        for (unsigned s = 0; s < _SESSION_STATE_MAX; s++)
                for (unsigned e = 0; session_state_is_final((SessionState) s) && e < _SESSION_EVENT_MAX; e++)
                        assert_int_equal(session_transition((SessionState) s, (SessionEvent) e).effect, SESSION_EFFECT_IGNORE);
        assert_true(session_state_is_final(SESSION_ATTESTED) && session_state_is_final(SESSION_FAILED) && session_state_is_final(SESSION_CANCELLED));
        assert_false(session_state_is_final(SESSION_VALIDATE));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_session_transition_every_cell_is_as_documented),
                cmocka_unit_test(test_session_transition_final_states_are_deaf),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
