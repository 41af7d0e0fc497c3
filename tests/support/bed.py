"""What integration tests inside tools/testbed share: the programs under test, the instance's faults, and a TAP-less harness.

A test is a function test_*(); run(globals()) calls them in order, prints one line each, and exits 1 if any failed.
"""
import concurrent.futures
import json
import os
import ssl
import subprocess
import sys
import time
import traceback
import urllib.request

BUILD = os.environ.get("ATTESTD_BUILD", "build")
ATTESTCTL = os.path.join(BUILD, "cli", "attestctl")
ATTESTD = os.path.join(BUILD, "daemon", "attestd")
COLLECTOR = os.path.join(BUILD, "tpm", "attestd-tpm")
INSTANCE_URL = os.environ.get("ATTEST_INSTANCE_URL", "")
INSTANCE_CA = os.environ.get("ATTEST_INSTANCE_CA", "")


class Skip(Exception):
    """The surroundings lack what the test needs."""


def need_testbed():
    """Starts this very script again inside tools/testbed, unless it runs there already."""
    if "TESTBED_DIR" in os.environ:
        return
    source = os.environ.get("ATTESTD_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    testbed = os.path.join(source, "tools", "testbed")
    arguments = [testbed, "--build", os.path.abspath(BUILD)] + TESTBED_OPTIONS + ["--", sys.executable] + sys.argv
    sys.exit(subprocess.run(arguments).returncode)


TESTBED_OPTIONS = []


def attestctl(*arguments, timeout=120, check=None):
    """Runs attestctl; returns (exit status, stdout, stderr). check: the exit status that is expected."""
    done = subprocess.run([ATTESTCTL, *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if check is not None and done.returncode != check:
        raise AssertionError(f"attestctl {' '.join(arguments)}: exit {done.returncode}, expected {check}: {done.stderr.strip()} {done.stdout[:300]}")
    return done.returncode, done.stdout, done.stderr


def error_table():
    return {item["name"]: item for item in json.loads(attestctl("errors", "--json", check=0)[1])}


def instance_request(method, path, body=None):
    context = ssl.create_default_context(cafile=INSTANCE_CA)
    request = urllib.request.Request(INSTANCE_URL + path, data=body, method=method)
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        return answer.status, answer.read()


def set_faults(*specs):
    """The instance misbehaves as told from now on; without specs it behaves."""
    status, _ = instance_request("PUT", "/fault", "\n".join(specs).encode())
    assert 200 <= status < 300, status


def wait_until(condition, seconds, what):
    """Polls condition() a few times a second: for states that nobody announces."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def status():
    return json.loads(attestctl("status", "--json", check=0)[1])


def tpm(*command, check=True):
    """Runs a tpm2-tools command against the testbed's TPM ($TPM2TOOLS_TCTI)."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def run_one(name, function):
    """"passed", "skipped" or "failed", after a line that says so."""
    begin = time.monotonic()
    try:
        function()
    except Skip as reason:
        print(f"skipped {name}: {reason}", flush=True)
        return "skipped"
    except Exception:
        print(f"FAILED  {name}\n{traceback.format_exc()}", end="", flush=True)
        return "failed"
    print(f"ok      {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    return "passed"


def run(namespace, jobs=1):
    """jobs: how many at a time, for tests that each have a TPM of their own."""
    need_testbed()
    tests = [item for item in namespace.items() if item[0].startswith("test_") and callable(item[1])]
    if jobs == 1:
        results = [run_one(*item) for item in tests]
    else:
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(lambda item: run_one(*item), tests))
    passed, failed, skipped = (results.count(result) for result in ("passed", "failed", "skipped"))
    for (name, _), result in zip(tests, results):   # again, because logs are shown from their end
        if result == "failed":
            print(f"FAILED  {name}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed else 77 if skipped and not passed else 0)
