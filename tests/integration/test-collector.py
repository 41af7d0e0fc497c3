#!/usr/bin/env python3
"""attestd-tpm against a real swtpm, through the client library: keys, certificates, quotes, moving PCRs, logs in every state, leftovers.

usage: test-collector.py COLLECTOR-CLIENT
"""
import contextlib
import ctypes
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import COLLECTOR, Skip, wait_until
from collector import CLIENT, SOURCE, Client, aik_pem, folder, machine_logs, pcrread, setup
from swtpm import ALGS, CC_CREATE, CC_LOAD, CC_PCR_READ, CC_QUOTE, Proxy, extend_command, read_message

NOBODY = 65534
SOAK_ROUNDS = int(os.environ.get("ATTESTD_SOAK_ROUNDS", "2000"))
PLATFORM_AIK, PLATFORM_CERTIFICATE = "0x81000003", "0x01C101D0"
AIK_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda"


def sends_raw(it, commands):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(it.swtpm.socket)
        for command in commands:
            stream.sendall(command)
            answer = read_message(stream)
            assert answer[6:10] == bytes(4), f"rc 0x{answer[6:10].hex()}"


def pcr_file(pcrs, bank):
    """What tpm2_quote -o writes: TPML_PCR_SELECTION, a count and as many TPML_DIGEST, all as the structures lie in memory."""
    values = [bytes.fromhex(pcrs[bank][str(i)]) for i in range(24)]
    selection = struct.pack("<I", 1) + struct.pack("<HB4sx", ALGS[bank], 3, b"\xff\xff\xff\0") + bytes(15 * 8)
    lists = [values[i:i + 8] for i in range(0, 24, 8)]
    digests = b"".join(struct.pack("<I", 8) + b"".join(struct.pack("<H64s", len(value), value) for value in some) for some in lists)
    return selection + struct.pack("<I", len(lists)) + digests


def checkquote(it, directory, nonce, pcrs, bank="sha256"):
    """tpm2_checkquote is the independent judge; it refuses another nonce and other values."""
    def judge(nonce, pcrs):
        it.swtpm.tool("tpm2_checkquote", "-u", aik_pem(it, directory), "-m", os.path.join(directory, "attest"), "-s",
                      os.path.join(directory, "signature"), "-q", nonce, "-g", "sha256", "-f", it.write("values.bin", pcr_file(pcrs, bank)))

    judge(nonce, pcrs)
    other = {bank: dict(pcrs[bank], **{"5": "ab" * hashlib.new(bank).digest_size})}
    for wrong in ((nonce + "00", pcrs), (nonce, other)):
        try:
            judge(*wrong)
        except AssertionError:
            continue
        raise AssertionError("tpm2_checkquote accepts anything")


def gen_ima():
    path = os.path.join(os.environ.get("ATTESTD_VECTORS", ""), "..", "tools", "gen_ima.py")
    if not os.path.exists(path):
        raise Skip(f"no {path}")
    spec = importlib.util.spec_from_file_location("gen_ima", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ima_entries(count, seed=1, violations=0):
    """[(entry of the list, what PCR 10 is extended with)]"""
    gen = gen_ima()
    result = []
    for data, bad in gen.entries(count, seed, violations):
        result.append((gen.entry(10, bytes(20) if bad else hashlib.sha1(data).digest(), data), None if bad else data))
    return result


def ima_extend_commands(entries):
    for _, data in entries:
        command = extend_command(10, data or b"")
        yield command if data is not None else command[:-32] + b"\xff" * 32


# -- keys ------------------------------------------------------------------------------------------------------------------------------


def test_quote_is_accepted_by_tpm2_checkquote():
    with setup("sha256") as it, Client(it) as client:
        info = client.ok("info")
        assert info["manufacturer"] == "IBM" and info["banks"] == ["sha256"] and info["pcr_bank"] == "sha256", info
        assert info["aik_origin"] == "own" and info["aik_notice"] == "", info
        it.swtpm.extend(3, b"something")
        out = folder(it, "out")
        evidence = client.ok(f"quote 00112233445566778899 {out}")
        assert evidence["pcrs"] == {"sha256": pcrread(it)}, evidence["pcrs"]
        checkquote(it, out, "00112233445566778899", evidence["pcrs"])
        der = subprocess.run(["openssl", "pkey", "-pubin", "-in", it.path("aik.pem"), "-outform", "der"], check=True, capture_output=True).stdout
        assert info["aik_fingerprint"] == hashlib.sha256(der).hexdigest()
        assert evidence["verdicts"][3] == "unexplained" and evidence["verdicts"][4] == "unused", evidence["verdicts"]
        assert evidence["aik_name"] == info["aik_name"]
        with open(os.path.join(out, "aik-public"), "rb") as stream:
            assert info["aik_name"] == "000b" + hashlib.sha256(stream.read()).hexdigest()


def test_own_key_survives_restarts_of_collector_and_tpm():
    with setup() as it:
        with Client(it) as client:
            first = client.ok("info")
        path = os.path.join(it.state, "aik.tpm2b")
        assert os.stat(path).st_mode & 0o777 == 0o600
        it.swtpm.restart()
        with Client(it) as client:
            again = client.ok("info")
        assert again["aik_name"] == first["aik_name"] and again["aik_notice"] == "", again
        assert again["reset_count"] == first["reset_count"] + 1, (first, again)
        assert os.listdir(it.state) == ["aik.tpm2b"]


def test_key_file_of_another_tpm_is_kept_aside():
    with setup() as other, setup() as it:
        with Client(other) as client:
            foreign = client.ok("info")
        shutil.copy(os.path.join(other.state, "aik.tpm2b"), it.state)
        with Client(it) as client:
            info = client.ok("info")
            assert info["aik_name"] != foreign["aik_name"] and "another TPM" in info["aik_notice"], info
            assert client.ok("quote 01")["aik_name"] == info["aik_name"]
        old = [name for name in os.listdir(it.state) if name.endswith(".old")]
        assert len(old) == 1 and sorted(os.listdir(it.state)) == sorted([old[0], "aik.tpm2b"])
        with open(os.path.join(it.state, old[0]), "rb") as kept, open(os.path.join(other.state, "aik.tpm2b"), "rb") as original:
            assert kept.read() == original.read()
        with Client(it) as client:
            assert client.ok("info")["aik_name"] == info["aik_name"]


def test_key_file_with_nonsense_is_kept_aside():
    with setup() as it:
        with Client(it) as client:
            client.ok("info")
        path = os.path.join(it.state, "aik.tpm2b")
        with open(path, "rb") as stream:
            good = stream.read()
        flipped = bytearray(good)
        flipped[-1] ^= 1
        not_restricted = bytearray(good)
        not_restricted[7] ^= 1
        for content in (b"x", good[:-1], good + b"x", bytes(flipped), bytes(not_restricted), b"\xff" * 300):
            with open(path, "wb") as stream:
                stream.write(content)
            with Client(it) as client:
                assert "could not be used" in client.ok("info")["aik_notice"]
                client.ok("quote 01")


def persistent_key(it, handle, attributes=AIK_ATTRIBUTES, scheme="rsa2048:rsassa-sha256:null"):
    it.swtpm.tool("tpm2_createprimary", "-C", "o", "-G", scheme, "-a", attributes, "-c", it.path("key.ctx"))
    it.swtpm.tool("tpm2_evictcontrol", "-C", "o", "-c", it.path("key.ctx"), handle)
    it.swtpm.tool("tpm2_flushcontext", "-t")


def test_platform_key_is_used_where_it_can_attest():
    with setup() as it:
        persistent_key(it, PLATFORM_AIK)
        with Client(it) as client:
            info = client.ok("info")
            assert info["aik_origin"] == PLATFORM_AIK, info
            out = folder(it, "out")
            checkquote(it, out, "0a", client.ok(f"quote 0a {out}")["pcrs"])
        assert os.listdir(it.state) == []
        assert PLATFORM_AIK in it.swtpm.tool("tpm2_getcap", "handles-persistent")


def test_platform_key_that_cannot_attest_is_passed_over():
    with setup() as it:
        persistent_key(it, PLATFORM_AIK, AIK_ATTRIBUTES.replace("restricted|", ""))
        with Client(it) as client:
            info = client.ok("info")
            assert info["aik_origin"] == "own" and "restricted" in info["aik_notice"], info


def test_explicit_handle_is_used_or_named_in_the_error():
    with setup() as it:
        persistent_key(it, "0x81000010", scheme="ecc256:ecdsa-sha256:null")
        persistent_key(it, "0x81000011", AIK_ATTRIBUTES.replace("restricted|", ""))
        for handle, code, words in (("0x81000010", None, ()), ("0x81000011", "TPM_AIK_INVALID", ("0x81000011", "restricted")),
                                    ("0x81000012", "TPM_AIK_MISSING", ("0x81000012",))):
            with Client(it, it.config(tpm=[f"AikHandle={handle}"])) as client:
                if code:
                    client.fails("info", code, *words)
                    client.fails("quote 01", code, *words)
                else:
                    assert client.ok("info")["aik_origin"] == handle
                    client.ok("quote 01")


def test_key_with_password_is_an_authorization_error():
    with setup() as it:
        it.swtpm.tool("tpm2_createprimary", "-C", "o", "-G", "rsa2048:rsassa-sha256:null", "-a", AIK_ATTRIBUTES, "-p", "secret", "-c", it.path("key.ctx"))
        it.swtpm.tool("tpm2_evictcontrol", "-C", "o", "-c", it.path("key.ctx"), "0x81000010")
        it.swtpm.tool("tpm2_flushcontext", "-t")
        with Client(it, it.config(tpm=["AikHandle=0x81000010"])) as client:
            client.fails("quote 01", "TPM_AUTHORIZATION", "TPM2_Quote")


def test_owner_password_is_an_authorization_error():
    with setup() as it:
        it.swtpm.tool("tpm2_changeauth", "-c", "owner", "secret")
        with Client(it) as client:
            client.fails("info", "TPM_AUTHORIZATION", "TPM2_CreatePrimary")


# -- certificates ----------------------------------------------------------------------------------------------------------------------


def make_certificate(it, public_pem):
    ca, out = it.path("ca.key"), it.path("aik.crt")
    if not os.path.exists(ca):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", ca], check=True)
    subprocess.run(["openssl", "x509", "-new", "-force_pubkey", public_pem, "-signkey", ca, "-subj", "/CN=AIK", "-days", "2", "-out", out],
                   check=True, capture_output=True)
    der = subprocess.run(["openssl", "x509", "-in", out, "-outform", "der"], check=True, capture_output=True).stdout
    return out, der


def define_nv(it, size=1600):
    it.swtpm.tool("tpm2_nvdefine", PLATFORM_CERTIFICATE, "-C", "o", "-s", str(size), "-a", "ownerread|ownerwrite|authread|authwrite|no_da")


def test_certificate_of_every_source_is_found():
    with setup() as it:
        out = folder(it, "out")
        with Client(it) as client:
            client.ok("info")
            client.ok(f"quote 01 {out}")
        pem, der = make_certificate(it, aik_pem(it, out))
        define_nv(it)
        with Client(it) as client:   # defined and not written: the platform is not ready
            info = client.ok("info")
            assert info["aik_certificate"] == "" and "nobody has written" in info["aik_notice"], info
        with Client(it, it.config(tpm=[f"AikCertificate=nv:{PLATFORM_CERTIFICATE}"])) as client:
            client.fails("info", "AIK_CERTIFICATE_INVALID", "nobody has written")
        padded = it.write("padded", der + bytes(1600 - len(der)))
        it.swtpm.tool("tpm2_nvwrite", PLATFORM_CERTIFICATE, "-C", "o", "-i", padded)
        for where, expected in (("auto", der), (f"nv:{PLATFORM_CERTIFICATE}", der), (pem, der), (it.write("der", der), der), ("none", b"")):
            with Client(it, it.config(tpm=[f"AikCertificate={where}"])) as client:
                assert client.ok("info")["aik_certificate"] == expected.hex(), where
                assert client.ok("quote 01")["aik_certificate"] == expected.hex(), where


def test_certificate_of_another_key_is_refused_or_left_out():
    with setup() as it:
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", it.path("other.key")], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", it.path("other.key"), "-pubout", "-out", it.path("other.pem")], check=True)
        pem, der = make_certificate(it, it.path("other.pem"))
        define_nv(it, len(der))
        it.swtpm.tool("tpm2_nvwrite", PLATFORM_CERTIFICATE, "-C", "o", "-i", it.write("der", der))
        with Client(it) as client:
            info = client.ok("info")
            assert info["aik_certificate"] == "" and "another key" in info["aik_notice"], info
        for where, words in ((pem, "another key"), (f"nv:{PLATFORM_CERTIFICATE}", "another key"), ("nv:0x01C101D1", "0x01c101d1"),
                             (it.write("nonsense", b"nonsense"), "nonsense")):
            with Client(it, it.config(tpm=[f"AikCertificate={where}"])) as client:
                client.fails("info", "AIK_CERTIFICATE_INVALID", words)


# -- PCRs ------------------------------------------------------------------------------------------------------------------------------


def test_strongest_bank_that_the_firmware_log_has_is_quoted():
    for banks, log_banks, wanted, expected in (("sha1,sha256,sha384", None, "auto", "sha384"), ("sha1,sha256,sha384", "sha256", "auto", "sha256"),
                                               ("sha1,sha256,sha384", "sha1", "auto", "sha384"), ("sha1,sha256", "sha256", "sha1", "sha1")):
        with setup(banks) as it:
            if log_banks:
                subprocess.run([sys.executable, os.path.join(SOURCE, "tools", "make-eventlog.py"), "--boot-log", it.boot_log, "--ima-log", it.ima_log,
                                "--extends", it.path("extends"), "--banks", log_banks], check=True, stdout=subprocess.DEVNULL)
                os.unlink(it.ima_log)
            with Client(it, it.config(tpm=[f"PcrBank={wanted}"])) as client:
                assert client.ok("info")["pcr_bank"] == expected
                evidence = client.ok("quote 01")
                assert evidence["pcrs"] == {expected: pcrread(it, expected)}, (banks, log_banks, wanted)


def test_bank_that_is_not_allocated_is_named():
    with setup("sha256") as it, Client(it, it.config(tpm=["PcrBank=sha384"])) as client:
        client.fails("quote 01", "TPM_BANK_MISSING", "sha384")


def test_sha1_alone_needs_explicit_choice():
    with setup("sha1") as it:
        with Client(it) as client:
            client.fails("quote 01", "TPM_BANK_MISSING")
        with Client(it, it.config(tpm=["PcrBank=sha1"])) as client:
            assert list(client.ok("quote 01")["pcrs"]) == ["sha1"]


def test_selected_pcrs_alone_are_quoted():
    with setup() as it, Client(it, it.config(tpm=["Pcrs=0-2,7,23"])) as client:
        evidence = client.ok("quote 01")
        assert sorted(evidence["pcrs"]["sha256"], key=int) == ["0", "1", "2", "7", "23"]
        assert evidence["verdicts"][3] == "not-quoted"


def test_pcrs_extended_between_rounds_are_seen():
    with setup() as it, Client(it) as client:
        for i in range(5):
            it.swtpm.extend(i, b"round %d" % i)
            evidence = client.ok(f"quote {i:02x}")
            assert evidence["pcrs"]["sha256"] == pcrread(it) and evidence["quote_retries"] == 0


def test_pcr_that_moves_once_costs_one_more_quote():
    with setup() as it:
        proxy, moves = Proxy(it.swtpm), [b"once"]
        proxy.hooks[CC_QUOTE] = lambda send: moves and send(extend_command(7, moves.pop()))
        with Client(it, it.config(proxy.tcti)) as client:
            out = folder(it, "out")
            evidence = client.ok(f"quote 01 {out}")
            assert evidence["quote_retries"] == 1, evidence
            assert evidence["pcrs"]["sha256"] == pcrread(it)
            checkquote(it, out, "01", evidence["pcrs"])
            assert client.ok("quote 02")["quote_retries"] == 0
        proxy.close()


def test_pcr_that_never_rests_is_an_error_that_names_it():
    with setup() as it:
        proxy = Proxy(it.swtpm)
        proxy.hooks[CC_QUOTE] = lambda send: send(extend_command(7, b"again"))
        with Client(it, it.config(proxy.tcti)) as client:
            client.fails("quote 01", "TPM_PCR_UNSTABLE", "PCRs 7 ")
            assert proxy.counts[CC_QUOTE] == 5, proxy.counts
            proxy.hooks.clear()
            client.ok("quote 02")
        proxy.close()


# -- IMA -------------------------------------------------------------------------------------------------------------------------------


def test_ima_prefix_of_the_quote_is_sent():
    entries = ima_entries(1000, violations=90)
    with setup() as it, Client(it) as client:
        it.write("ima.log", b"".join(text for text, _ in entries))
        done = 0
        for upto in (700, 700, 800, 1000):
            sends_raw(it, ima_extend_commands(entries[done:upto]))
            done = upto
            out = folder(it, f"out-{upto}")
            evidence = client.ok(f"quote 01 {out}")
            assert evidence["ima_log_state"] == "ok" and evidence["ima_entries"] == upto, evidence
            assert evidence["quote_retries"] == 0 and evidence["verdicts"][10] == "replayed"
            with open(os.path.join(out, "IMA"), "rb") as stream:
                assert stream.read() == b"".join(text for text, _ in entries[:upto])
            checkquote(it, out, "01", evidence["pcrs"])


def test_ima_entries_around_every_command_need_no_second_quote():
    """Entries come in before the PCRs are read, between read and quote, and after the quote; the list is ahead of the TPM as in the kernel."""
    entries = ima_entries(400)
    with setup() as it:
        proxy, queue = Proxy(it.swtpm), list(entries)
        stream = open(it.ima_log, "ab", buffering=0)

        def measure(send, count=3):
            for _ in range(min(count, len(queue))):
                text, data = queue.pop(0)
                stream.write(text)
                send(extend_command(10, data))

        for code in (CC_QUOTE, CC_PCR_READ):
            proxy.hooks[code] = proxy.after[code] = measure
        sends_raw(it, ima_extend_commands([queue[0]]))
        stream.write(queue.pop(0)[0])
        with Client(it, it.config(proxy.tcti)) as client:
            last = 0
            for i in range(8):
                out = folder(it, f"out-{i}")
                evidence = client.ok(f"quote {i:02x} {out}")
                assert evidence["quote_retries"] == 0 and evidence["ima_log_state"] == "ok", evidence
                assert last < evidence["ima_entries"] < 400, evidence["ima_entries"]
                last = evidence["ima_entries"]
                checkquote(it, out, f"{i:02x}", evidence["pcrs"])
                with open(os.path.join(out, "IMA"), "rb") as sent:
                    assert sent.read() == b"".join(text for text, _ in entries[:last])
                assert proxy.counts[CC_QUOTE] == i + 1
        stream.close()
        proxy.close()


def test_pcr_10_that_moves_without_a_list_costs_one_more_quote():
    with setup() as it:
        proxy, moves = Proxy(it.swtpm), [b"once"]
        proxy.hooks[CC_QUOTE] = lambda send: moves and send(extend_command(10, moves.pop()))
        with Client(it, it.config(proxy.tcti)) as client:
            evidence = client.ok("quote 01")
            assert evidence["quote_retries"] == 1 and evidence["ima_log_state"] == "missing", evidence
            assert evidence["pcrs"]["sha256"] == pcrread(it)
        proxy.close()


def test_ima_list_of_the_next_boot_is_read_from_its_head():
    with setup() as it, Client(it) as client:
        for seed in (1, 2):
            entries = ima_entries(50, seed)
            temporary = it.write("ima.new", b"".join(text for text, _ in entries))
            os.rename(temporary, it.ima_log)
            sends_raw(it, ima_extend_commands(entries))
            evidence = client.ok("quote 01")
            assert evidence["ima_log_state"] == "ok" and evidence["ima_entries"] == 50, evidence
            it.swtpm.restart()


def test_ima_list_that_does_not_fit_is_named():
    entries = ima_entries(50)
    whole = b"".join(text for text, _ in entries)
    for name, content, state, code in (
            ("one entry is missing", b"".join(text for i, (text, _) in enumerate(entries) if i != 20), "mismatch", "IMA_MISMATCH"),
            ("the head is gone", b"".join(text for text, _ in entries[10:]), "trimmed-by-kernel", "IMA_TRIMMED"),
            ("the last entry is cut", whole[:-5], "truncated", "LOG_TRUNCATED"),
            ("nonsense", b"\xff" * 64, "malformed", "IMA_MALFORMED"),
            ("empty", b"", "empty", "LOG_EMPTY")):
        with setup() as it:
            it.write("ima.log", content)
            sends_raw(it, ima_extend_commands(entries))
            with Client(it) as client:
                evidence = client.ok("quote 01")
                assert evidence["ima_log_state"] in ((state,) if state != "malformed" else ("malformed", "trimmed-by-kernel")), (name, evidence)
                assert evidence["ima_log_reason"], name
                assert evidence["logs"] == {} and evidence["ima_entries"] == 0, name
                assert evidence["verdicts"][10] == "unexplained", name
            with Client(it, it.config(evidence=["ImaLogPolicy=required"])) as client:
                answer = client.ask("quote 01")
                assert answer.get("error") in ((code,) if state != "malformed" else ("IMA_MALFORMED", "IMA_TRIMMED")), (name, answer)


# -- logs ------------------------------------------------------------------------------------------------------------------------------


def test_logs_of_a_machine_explain_its_pcrs():
    with setup("sha256,sha384") as it:
        machine_logs(it, banks="sha256,sha384")
        with Client(it, it.config(evidence=["BootLogPolicy=required", "ImaLogPolicy=required"])) as client:
            out = folder(it, "out")
            evidence = client.ok(f"quote 01 {out}")
            assert list(evidence["pcrs"]) == ["sha384"] and evidence["boot_log_state"] == evidence["ima_log_state"] == "ok", evidence
            assert set(evidence["verdicts"][:8]) == {"replayed"} and evidence["verdicts"][10] == "replayed", evidence["verdicts"]
            assert "unexplained" not in evidence["verdicts"], evidence["verdicts"]
            for log, path in (("TCG", it.boot_log), ("IMA", it.ima_log)):
                with open(path, "rb") as original, open(os.path.join(out, log), "rb") as sent:
                    assert original.read() == sent.read(), log
            assert list(evidence["logs"]) == ["TCG", "IMA"]


def systemd_record(pcr, word):
    """As systemd-pcrextend writes it: RFC 7464, a record like those of the TCG's CEL-JSON."""
    record = {"pcr": pcr, "digests": [{"hashAlg": "sha256", "digest": hashlib.sha256(word.encode()).hexdigest()}], "content_type": "systemd",
              "content": {"string": word, "bootId": "4c1d6ab1b2e14c4c8a2a1dbb2f1b2a7e", "timestamp": 7165711, "eventType": "phase"}}
    return b"\x1e" + json.dumps(record, separators=(",", ":")).encode() + b"\n"


def test_systemd_log_explains_what_came_after_the_firmware_log():
    words = ("enter-initrd", "leave-initrd", "sysinit", "ready")
    with setup() as it:
        machine_logs(it)
        for pcr, word in [(11, word) for word in words] + [(15, "machine-id")]:
            it.swtpm.extend(pcr, word.encode())
        log = b"".join(systemd_record(11, word) for word in words) + systemd_record(15, "machine-id")
        for content, verdicts in ((None, ("unexplained", "unexplained")), (log, ("replayed", "replayed")),
                                  (log + systemd_record(11, "shutdown"), ("replayed", "replayed")),   # written after the quote
                                  (log[log.index(b"leave") - 200:], ("unexplained", "unexplained")),  # not from a record's beginning
                                  (log.replace(systemd_record(11, "sysinit"), b""), ("unexplained", "replayed")),
                                  (log[:-1], ("unexplained", "unexplained"))):
            if content is not None:
                it.write("systemd.log", content)
            with Client(it) as client:
                evidence = client.ok("quote 01")
                assert (evidence["verdicts"][11], evidence["verdicts"][15]) == verdicts, (content, evidence["verdicts"])
                assert evidence["boot_log_state"] == "ok" and list(evidence["logs"]) == ["TCG", "IMA"], "it is never sent"


def test_firmware_log_that_does_not_explain_its_pcrs_is_sent_and_named():
    with setup() as it:
        machine_logs(it)
        it.swtpm.extend(4, b"something that the log does not know")
        with Client(it, it.config(evidence=["BootLogPolicy=required"])) as client:
            evidence = client.ok("quote 01")
            assert evidence["boot_log_state"] == "mismatch" and "PCRs 4 " in evidence["boot_log_reason"], evidence
            assert evidence["verdicts"][4] == "unexplained" and evidence["verdicts"][3] == "replayed"
            assert "TCG" in evidence["logs"]


def test_every_state_of_a_log_is_named_and_fatal_where_required():
    with setup() as it:
        machine_logs(it)
        with open(it.boot_log, "rb") as stream:
            good = stream.read()
        cases = (("missing", None, "LOG_MISSING"), ("empty", b"", "LOG_EMPTY"), ("truncated", good[:-3], "LOG_TRUNCATED"),
                 ("malformed", b"\x55" * 200, "EVENTLOG_MALFORMED"), ("unreadable", "folder", "LOG_UNREADABLE"),
                 ("too-large", bytes((16 << 20) + 1), "LOG_TOO_LARGE"))
        for state, content, code in cases:
            path = it.path(f"boot-{state}")
            if content == "folder":
                os.mkdir(path)
            elif content is not None:
                it.write(f"boot-{state}", content)
            for policy in ("optional", "required", "off"):
                with Client(it, it.config(evidence=[f"BootLog={path}", f"BootLogPolicy={policy}"])) as client:
                    if policy == "required":
                        client.fails("quote 01", code, path if state not in ("truncated", "malformed") else "")
                        continue
                    evidence = client.ok("quote 01")
                    assert evidence["boot_log_state"] == ("off" if policy == "off" else state), (state, policy, evidence)
                    assert bool(evidence["boot_log_reason"] if "boot_log_reason" in evidence else "") == (policy != "off")
                    assert ("TCG" in evidence["logs"]) == (policy != "off" and state in ("truncated", "malformed")), (state, policy)


def test_log_that_this_user_may_not_read_says_who_tried():
    if os.geteuid() != 0:
        raise Skip("needs root, to become somebody else")
    with setup() as it:
        machine_logs(it)
        open_up(it)
        os.chmod(it.boot_log, 0o400)
        program = shutil.copy(COLLECTOR, it.path("attestd-tpm"))   # the build folder may be closed to nobody
        with Client(it, arguments=[f"--collector={program}", f"--socket={it.path('nowhere')}"], prefix=as_nobody()) as client:
            evidence = client.ok("quote 01")
            assert evidence["boot_log_state"] == "unreadable", evidence
            assert str(NOBODY) in evidence["boot_log_reason"] and "Permission denied" in evidence["boot_log_reason"], evidence["boot_log_reason"]


def open_up(it):
    """Everything is nobody's, except the logs."""
    for path in (it.directory, it.state, it.swtpm.socket, it.swtpm.socket + ".ctrl"):
        os.chown(path, NOBODY, NOBODY)


def as_nobody(*more):
    if not shutil.which("setpriv"):
        raise Skip("setpriv is missing")
    return ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *more, "--"]


def test_log_capability_is_used_at_the_start_and_given_up():
    if os.geteuid() != 0:
        raise Skip("needs root, to give somebody a capability")
    with setup() as it:
        machine_logs(it)
        open_up(it)
        os.chmod(it.boot_log, 0o400)
        os.chmod(it.ima_log, 0o400)
        with Client(it, prefix=as_nobody("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")) as client:
            evidence = client.ok("quote 01")
            assert evidence["boot_log_state"] == evidence["ima_log_state"] == "ok", evidence
            with open(f"/proc/{client.ok('pid')['pid']}/status") as status:
                caps = {line.split(":")[0]: int(line.split()[1], 16) for line in status if line.startswith("Cap")}
            assert caps["CapPrm"] == caps["CapEff"] == caps["CapInh"] == caps["CapAmb"] == 0, caps


# -- the TPM goes away -----------------------------------------------------------------------------------------------------------------


def test_tpm_that_cannot_be_opened_is_absent():
    with setup() as it:
        for tcti in (f"swtpm:path={it.path('nothing')}", "device:/dev/null", "nonsense:x"):
            config = it.config(tcti)
            with Client(it, config) as client:
                client.fails("info", "TPM_ABSENT", tcti)
                client.fails("quote 01", "TPM_ABSENT", tcti)


def test_tpm_that_was_restarted_is_used_again():
    with setup() as it, Client(it) as client:
        name = client.ok("quote 01")["aik_name"]
        it.swtpm.kill()
        client.fails("quote 02", "TPM_ABSENT")
        it.swtpm.start()
        evidence = client.ok("quote 03")
        assert evidence["aik_name"] == name


def test_connection_that_breaks_in_the_middle_is_recovered_from():
    with setup() as it:
        proxy = Proxy(it.swtpm)
        with Client(it, it.config(proxy.tcti)) as client:
            client.ok("quote 00")
            for code in (CC_PCR_READ, CC_LOAD, CC_QUOTE):
                for where in (proxy.hooks, proxy.after):
                    where[code] = lambda send: False
                    client.fails("quote 01", "TPM_ABSENT", "broke")
                    where.clear()
                    client.ok("quote 02")
                    assert it.swtpm.handles() == ""
            assert client.ok("info")["leftovers_flushed"] > 0
        proxy.close()


# -- leftovers -------------------------------------------------------------------------------------------------------------------------


def test_what_others_left_is_flushed_at_start():
    with setup() as it:
        it.swtpm.tool("tpm2_createprimary", "-C", "o", "-c", it.path("a.ctx"))
        it.swtpm.tool("tpm2_createprimary", "-C", "o", "-c", it.path("b.ctx"))
        it.swtpm.tool("tpm2_startauthsession", "-S", it.path("session"))
        before = it.swtpm.handles()
        assert before.count("0x80") == 2 and len(before.split()) > 4, before
        with Client(it) as client:
            assert client.ok("info")["leftovers_flushed"] == 3, before
            assert it.swtpm.handles() == ""


def test_collector_killed_during_any_command_leaves_nothing_for_long():
    with setup() as it:
        proxy = Proxy(it.swtpm)
        config = it.config(proxy.tcti)
        for code in (CC_CREATE, CC_LOAD, CC_QUOTE, CC_LOAD, CC_PCR_READ):
            with Client(it, config) as client:
                pid = client.ok("pid")["pid"]

                def kill(send):
                    os.kill(pid, signal.SIGKILL)

                proxy.after[code] = kill
                client.fails("quote 01", "COLLECTOR_UNAVAILABLE")
                proxy.after.clear()
                assert it.swtpm.handles() != "", "nothing was left, so nothing is tested"
                client.ok("reopen")
                assert client.ok("quote 02")["quote_retries"] == 0
                assert client.ok("info")["leftovers_flushed"] > 0
                assert it.swtpm.handles() == ""
        assert os.listdir(it.state) == ["aik.tpm2b"]
        proxy.close()


def test_many_quotes_leave_no_handles():
    with setup() as it, Client(it) as client:
        for i in range(SOAK_ROUNDS):
            assert client.ok(f"quote {i:04x}")["quote_retries"] == 0
        assert it.swtpm.handles() == ""


# -- the program -----------------------------------------------------------------------------------------------------------------------


def test_qualifying_data_that_is_too_long_is_refused():
    with setup() as it, Client(it) as client:
        client.ok("quote " + "ab" * 32)
        client.fails("quote " + "ab" * 200, "INVALID_ARGUMENT", "200")
        client.ok("quote -")


@contextlib.contextmanager
def activated(it, names="tpm"):
    """The collector with a listening socket, as systemd starts it."""
    path = it.path("tpm.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    script = f'export LISTEN_PID=$$; exec 3<&{listener.fileno()} {os.path.abspath(COLLECTOR)} --config={it.config()}'
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(it.path("notify"))
    notify.settimeout(20)
    process = subprocess.Popen(["bash", "-c", script], pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL,
                               env=dict(os.environ, LISTEN_FDS="1", LISTEN_FDNAMES=names, STATE_DIRECTORY=it.state, NOTIFY_SOCKET=it.path("notify")))
    try:
        assert b"READY=1" in notify.recv(4096)
        yield path
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        listener.close()
        notify.close()


def test_socket_activation_serves_several_connections():
    with setup() as it, activated(it) as path:
        clients = [Client(it, arguments=[f"--socket={path}"]) for _ in range(3)]
        for _ in range(2):
            for client in clients:
                client.ok("quote 01")
        clients[0].__exit__()
        with Client(it, arguments=[f"--socket={path}"]) as late:
            assert late.ok("pid")["pid"] == 0
            late.ok("info")
        for client in clients[1:]:
            client.ok("ping")
            client.__exit__()


def test_more_connections_than_are_served_are_closed_and_the_rest_live():
    with setup() as it, activated(it) as path:
        clients = [Client(it, arguments=[f"--socket={path}"]) for _ in range(16)]
        for client in clients:
            client.ok("ping")
        with Client(it, arguments=[f"--socket={path}"]) as surplus:
            surplus.fails("ping", "COLLECTOR_UNAVAILABLE")
        for client in clients:
            client.ok("ping")
            client.__exit__()
        with Client(it, arguments=[f"--socket={path}"]) as client:
            client.ok("quote 01")


def test_busctl_introspects_the_private_bus():
    if not shutil.which("busctl"):
        raise Skip("busctl is missing")
    with setup() as it, activated(it) as path:
        def busctl(*arguments):
            return subprocess.run(["busctl", f"--address=unix:path={path}", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout
        shown = busctl("introspect", "org.attestd1", "/org/attestd1/tpm")
        for method in (".Ping", ".GetInfo", ".Quote"):
            assert method in shown, shown
        assert '"manufacturer" s "IBM"' in busctl("call", "org.attestd1", "/org/attestd1/tpm", "org.attestd1.Tpm", "GetInfo")


def test_collector_needs_no_network():
    if os.geteuid() != 0 or not shutil.which("unshare"):
        raise Skip("needs root and unshare")
    with setup() as it, Client(it, prefix=["unshare", "--net", "--"]) as client:
        client.ok("quote 01")


def test_collector_leaves_with_its_parent():
    with setup() as it:
        client = Client(it)
        pid = client.ok("pid")["pid"]
        client.process.kill()
        client.process.wait()
        client.process.stdin.close()
        client.process.stdout.close()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat").read().split()[2] == "Z", 20, "the end of the collector")


def test_collector_that_cannot_be_started_is_unavailable():
    with setup() as it:
        with Client(it, arguments=["--collector=/nonexistent/attestd-tpm", f"--socket={it.path('nowhere')}"]) as client:
            client.fails("info", "COLLECTOR_UNAVAILABLE", "/nonexistent/attestd-tpm")
        with Client(it, arguments=[f"--collector={shutil.which('true')}", f"--socket={it.path('nowhere')}"]) as client:
            client.fails("info", "COLLECTOR_UNAVAILABLE")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(it.path("dead.sock"))
        with Client(it, arguments=[f"--socket={it.path('dead.sock')}"]) as client:
            client.fails("info", "COLLECTOR_UNAVAILABLE", "dead.sock")


def test_usage_errors_have_their_status():
    for arguments, code, words in (([], 2, "listening"), (["--bus-fd=x"], 2, "--bus-fd"), (["--nonsense"], 2, ""), (["extra"], 2, "argument"),
                                   (["--help"], 0, ""), (["--version"], 0, ""), (["--config=/nonexistent", "--bus-fd=0"], 16, "/nonexistent")):
        done = subprocess.run([COLLECTOR, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
        assert done.returncode == code and words in done.stderr, (arguments, done)


bed.need_testbed = lambda: None   # these tests bring their own TPM
bed.run(globals())
