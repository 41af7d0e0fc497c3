#!/usr/bin/env python3
"""What tools/testbed and tools/prepare.sh leave behind when they are stopped or killed: nothing that runs, and no directory for long."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

SOURCE = pathlib.Path(os.environ.get("ATTESTD_SOURCE", pathlib.Path(__file__).resolve().parent.parent.parent))
BUILD = pathlib.Path(os.environ.get("ATTESTD_BUILD", "build")).resolve()
TESTBED = SOURCE / "tools/testbed"


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pids, seconds=30):
    end = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < end, f"still running: {[pid for pid in pids if is_running(pid)]}"
        time.sleep(0.05)


def start_testbed(temporary):
    """A testbed whose command tells its process id, the testbed's directory, and the instance's and swtpm's process ids, and then sleeps."""
    script = "echo $$ $TESTBED_DIR $ATTEST_INSTANCE_PID $SWTPM_PID; exec sleep 600"
    process = subprocess.Popen([TESTBED, "--build", BUILD, "--no-daemon", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "TMPDIR": temporary})
    command, directory, instance, swtpm = process.stdout.readline().split()
    return process, pathlib.Path(directory), [int(command), int(instance), int(swtpm)]


def test_testbed_terminated_leaves_nothing(temporary):
    process, directory, pids = start_testbed(temporary)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    wait_until_gone(pids)
    assert not directory.exists()


def test_testbed_killed_takes_its_programs_along_and_the_next_one_cleans_up(temporary):
    process, directory, pids = start_testbed(temporary)
    process.kill()
    process.wait()
    wait_until_gone(pids)
    assert directory.exists()
    other, other_directory, other_pids = start_testbed(temporary)
    assert not directory.exists()
    third, third_directory, third_pids = start_testbed(temporary)
    assert other_directory.exists(), "the directory of a running testbed was removed"
    for process in (other, third):
        process.terminate()
        process.wait(60)
    wait_until_gone(other_pids + third_pids)


def test_supervised_script_passes_sigterm_on(temporary):
    script = pathlib.Path(temporary) / "script"
    script.write_text(textwrap.dedent(f"""\
        #!/bin/bash
        set -euo pipefail
        . {SOURCE}/tools/prepare.sh
        supervise "$@"
        echo "$1 $$"
        (sleep 600; true)
        """))
    script.chmod(0o755)
    process = subprocess.Popen([script, "argument"], stdout=subprocess.PIPE, text=True)
    argument, pid = process.stdout.readline().split()
    assert argument == "argument" and int(pid) != process.pid
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert process.stdout.read() == ""      # end of file: nobody holds the pipe any more
    assert not is_running(int(pid))


def test_supervised_script_gives_its_status(temporary):
    script = pathlib.Path(temporary) / "script"
    script.write_text(f"#!/bin/bash\nset -euo pipefail\n. {SOURCE}/tools/prepare.sh\nsupervise \"$@\"\nread -r line\nexit \"$line\"\n")
    script.chmod(0o755)
    assert subprocess.run([script], input="7\n", text=True).returncode == 7
    assert subprocess.run([script], input="0\n", text=True).returncode == 0


def main():
    failed = 0
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            with tempfile.TemporaryDirectory() as temporary:
                try:
                    function(temporary)
                    print("ok     ", name, flush=True)
                except AssertionError as error:
                    failed += 1
                    print("FAILED ", name, error, flush=True)
    sys.exit(1 if failed else 0)


main()
