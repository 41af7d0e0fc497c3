#!/usr/bin/env python3
"""Every command that attestd-tpm sends for one quote, answered with every response code and failure of a table: each ends in its own error,
nothing stays in the TPM, and the next request works.

One swtpm, one collector and tests/support/tcti-fault.c between them for each way to a key. Which commands there are is not written here: the
TCTI's trace of an undisturbed request tells. What each must end in is in tests/support/faults.py.

usage: test-tpm-faults.py COLLECTOR-CLIENT TCTI-FAULT
"""
import collections
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from faults import (ABSENT, AGAIN, CREATE, CREATE_PRIMARY, FAILED, FLUSH, FORMAT_ONE, FORMAT_ZERO, FRESH, GET_CAPABILITY, LOAD, NV_READ, NV_READ_PUBLIC,
                    PCR_READ, QUOTE, READ_PUBLIC, TCTI_CODES, WORDS, Command, bench, check_error, check_hangs, check_hangs_that_end,
                    is_parameter)

AIK_HANDLE, CERTIFICATE_INDEX = "0x81000003", "0x01C101D0"
AIK_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda"


def platform(it):
    """A key and its certificate as a cloud's platform leaves them."""
    it.swtpm.tool("tpm2_createprimary", "-C", "o", "-G", "rsa2048:rsassa-sha256:null", "-a", AIK_ATTRIBUTES, "-c", it.path("key.ctx"))
    it.swtpm.tool("tpm2_evictcontrol", "-C", "o", "-c", it.path("key.ctx"), AIK_HANDLE)
    it.swtpm.tool("tpm2_flushcontext", "-t")
    it.swtpm.tool("tpm2_readpublic", "-c", AIK_HANDLE, "-f", "pem", "-o", it.path("aik.pem"))
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", it.path("ca.key")], check=True)
    subprocess.run(["openssl", "x509", "-new", "-force_pubkey", it.path("aik.pem"), "-signkey", it.path("ca.key"), "-subj", "/CN=AIK", "-days", "2",
                    "-outform", "der", "-out", it.path("aik.der")], check=True, capture_output=True)
    size = os.path.getsize(it.path("aik.der"))
    it.swtpm.tool("tpm2_nvdefine", CERTIFICATE_INDEX, "-C", "o", "-s", str(size), "-a", "ownerread|ownerwrite|authread|authwrite|no_da")
    it.swtpm.tool("tpm2_nvwrite", CERTIFICATE_INDEX, "-C", "o", "-i", it.path("aik.der"))
    return [f"AikHandle={AIK_HANDLE}", f"AikCertificate=nv:{CERTIFICATE_INDEX}"]


def check_code(it, request, command, name, rc, expected):
    # A flush that the TPM refuses leaves what it was for until the next connection looks for leftovers; the evidence is good all the same.
    is_flush = command.code == FLUSH
    case, answer = it.run_case(request, command, f"rc 0x{rc:x}", is_flush and expected != AGAIN)
    case = f"{case} ({name})"
    if expected == AGAIN or is_flush:
        assert "error" not in answer, f"{case}: {answer}"
    elif is_parameter(rc) and command.code == CREATE:
        check_error(case, answer, command, "NOT_SUPPORTED", f"(rc 0x{rc:x})")   # it makes no such key
    elif is_parameter(rc) and command.code == LOAD and FRESH in request:
        check_error(case, answer, command, "TPM_AIK_INVALID", f"(rc 0x{rc:x})")
    elif is_parameter(rc) and command.code == LOAD:
        # The TPM refuses the blob itself: another one is made (own-key.h), and said.
        assert "error" not in answer and "could not be used" in answer.get("aik_notice", "could not be used"), f"{case}: {answer}"
    else:
        check_error(case, answer, command, expected, f"(rc 0x{rc:x})")


REQUESTS = ((None, "own key", ("info", "quote 0102", "info" + FRESH)), (platform, "platform's key", ("info", "quote 0102")))


def for_each_command(visit):
    seen = collections.Counter()
    for provision, _, requests in REQUESTS:
        with bench(provision) as it:
            for request in requests:
                for command in it.commands(request):
                    # The rest is as always.
                    if FRESH in request and command.code not in (CREATE, LOAD):
                        continue
                    visit(it, request, command)
                    seen[command.code] += 1
            print(f"        {it.n_cases} cases", flush=True)
    assert set(seen) == set(WORDS), f"commands that are sent: {sorted(map(hex, seen))}, those that this test knows: {sorted(map(hex, WORDS))}"


def check_transport(it, request, command, action):
    case, answer = it.run_case(request, command, action, True)
    if command.code != FLUSH or "error" in answer:   # a flush may be the last command: then the evidence is there already
        check_error(case, answer, command, ABSENT, "broke")


def thinned(it, request, command, codes):
    """All codes for the first and the last command of a kind in a request; of those between (properties one by one) every seventh."""
    last = max(other.occurrence for other in it.order[request] if other.code == command.code)
    return codes if command.occurrence in (1, last) else codes[it.n_cases % 7::7]


def test_hanging_tpm_is_stuck_until_the_collector_is_started_again():
    check_hangs(*((None, lambda _: "quote 0102", code) for code in (GET_CAPABILITY, CREATE_PRIMARY, LOAD, FLUSH, READ_PUBLIC, PCR_READ, QUOTE)),
                *((platform, lambda _: "quote 0102", code) for code in (NV_READ_PUBLIC, NV_READ)))


def test_hanging_tpm_whose_driver_gives_up_is_an_absent_tpm():
    with bench() as it:
        check_hangs_that_end(it, "info", [command for command in it.commands("info") if command.occurrence == 1])


def test_every_response_code_of_every_command_has_its_error():
    table = [(name, *entry) for name, entry in {**FORMAT_ZERO, **FORMAT_ONE}.items()]

    def visit(it, request, command):
        it.order = getattr(it, "order", {})
        if request not in it.order:
            it.order[request] = it.commands(request)
        for name, rc, expected in thinned(it, request, command, table):
            check_code(it, request, command, name, rc, expected)

    for_each_command(visit)


def test_transport_that_fails_around_every_command_is_an_absent_tpm():
    actions = ["lose", "lose-after"] + [f"{when} 0x{code:x}" for when in ("transmit", "receive") for code in TCTI_CODES.values()]

    def visit(it, request, command):
        for action in actions if command.occurrence == 1 else actions[:2]:
            check_transport(it, request, command, action)

    for_each_command(visit)


def test_answer_whose_size_is_impossible_or_that_is_garbage_is_an_error():
    def visit(it, request, command):
        for action in ("size 0", "size 9", "size 0xffffffff", "garbage 0", "garbage 0xff") if command.occurrence == 1 else ():
            case, answer = it.run_case(request, command, action, True)
            if command.code != FLUSH or "error" in answer:
                check_error(case, answer, command, FAILED, "on the way to the TPM")

    for_each_command(visit)


def test_answer_that_ends_too_early_is_an_absent_tpm():
    with bench(platform, with_proxy=True) as it:
        for request in ("info", "quote 0102"):
            for command in {command.code: command for command in it.commands(request)}.values():
                for size in (0, 1, 9, 10, 13):
                    it.proxy.cut[command.code] = size
                    answer = it.ask(request)
                    check_error(f"{request}: {size} bytes of 0x{command.code:x}", answer, command, ABSENT, "broke")
                    it.proxy.cut.clear()
                    it.next_round_works("cut")


def test_busy_tpm_is_asked_again_for_a_while_and_no_longer():
    with bench() as it:
        for rc in (0x908, 0x90A, 0x920, 0x922):
            it.set_script(f"0x{QUOTE:x} rc 0x{rc:x}\n")
            answer = it.ask("quote 01")
            check_error(f"each time 0x{rc:x}", answer, Command(QUOTE, 1), FAILED, f"(rc 0x{rc:x})")
            assert len([line for line in it.trace() if int(line[0], 16) == QUOTE]) >= 8   # 7 pauses between them
            it.next_round_works(f"each time 0x{rc:x}")


def test_slow_tpm_is_waited_for():
    with bench() as it:
        for command in it.commands("quote 01"):
            begin = time.monotonic()
            case, answer = it.run_case("quote 01", command, "delay 300")
            assert "error" not in answer and time.monotonic() - begin >= 0.3, f"{case}: {answer}"


bed.need_testbed = lambda: None   # these tests bring their own TPM
bed.run(globals(), jobs=3)
