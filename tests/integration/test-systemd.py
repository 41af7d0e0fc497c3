#!/usr/bin/env python3
"""The installed units under a real systemd: users, sandbox, socket activation, restarts, and what becomes of the runtime directory.

systemd-nspawn boots this machine's own systemd from an overlay of the root file system with `meson install` on top, so nothing is
downloaded, nothing outside is written, and /tmp is the container's own. TPM and instance are those of tools/testbed, outside; the TPM is
reached over a unix socket, so that PrivateNetwork= stays as shipped. Skipped where root, overlays or namespaces are not to be had.
"""
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import bed
from bed import *

bed.TESTBED_OPTIONS = ["--no-daemon"]
TARGET = """[Unit]
Requires=basic.target dbus.service attestd.service attestd-tpm.socket
After=basic.target dbus.service attestd.service attestd-tpm.socket
AllowIsolate=yes
"""
CONFIG = """[Agent]
LogLevel=debug
[TPM]
TCTI=swtpm:path=/testbed/tpm.sock
[Evidence]
BootLog=/testbed/boot.log
ImaLog=/testbed/ima.log
[Instance]
Url={url}
CaFile=/etc/attestd/ca.pem
"""
# Of no use here, or reaching out of the container: it shares the network with the machine.
MASKED = ("systemd-sysctl.service", "systemd-modules-load.service", "systemd-binfmt.service", "systemd-resolved.service", "systemd-networkd.service",
          "systemd-networkd.socket", "systemd-timesyncd.service", "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-logind.service")
BOOT_SECONDS = 120
LEADER = None


def command(*arguments, **how):
    return subprocess.run([str(part) for part in arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, **how)


def inside(*arguments, check=0):
    """Runs a command in the container; its standard output."""
    done = command("nsenter", "-t", LEADER, "-m", "-u", "-i", "-n", "-p", "-C", "--", *arguments, timeout=120,
                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})
    if check is not None and done.returncode != check:
        raise AssertionError(f"{' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr.strip()} {done.stdout[-600:]}")
    return done.stdout


def unit_property(unit, name):
    return inside("systemctl", "show", "--value", "-p", name, unit).strip()


def wait_unit(unit, name, value):
    wait_until(lambda: unit_property(unit, name) == value, 30, f"{unit}: {name}={value}")


def process_status(unit):
    pid = unit_property(unit, "MainPID")
    lines = inside("cat", f"/proc/{pid}/status").splitlines()
    return {line.split(":")[0]: line.split(":", 1)[1].split() for line in lines}


def status_inside():
    return json.loads(inside("attestctl", "status", "--json"))


def profile():
    return status_inside()["profiles"]["default"]


def attested_again(after):
    inside("attestctl", "wait", "--timeout", "60")
    return wait_until(lambda: profile()["TokenIssued"] >= after and profile(), 60, "a token")


# The container

def make_root(folder):
    """An overlay of / below folder, with our installation; raises Skip where the kernel does not let us."""
    done = command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    root = folder / "root"
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    if done.returncode == 0:
        done = command("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={folder / 'upper'},workdir={folder / 'work'}", root)
    if done.returncode != 0:
        raise Skip(f"no overlay can be mounted here: {done.stderr.strip()}")
    return root


def install(root):
    done = command("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": str(root)})
    assert done.returncode == 0, done.stderr
    units = root / "etc/systemd/system"
    for wants in units.glob("*.wants"):     # what this machine's administrator enabled is none of our business
        shutil.rmtree(wants)
    for unit in MASKED:
        with contextlib.suppress(FileNotFoundError):
            (units / unit).unlink()
        (units / unit).symlink_to("/dev/null")
    (units / "attestd-test.target").write_text(TARGET)
    etc = root / "etc/attestd/attestd.conf.d"
    etc.mkdir(parents=True, exist_ok=True)
    (etc / "50-test.conf").write_text(CONFIG.format(url=INSTANCE_URL))
    shutil.copy(INSTANCE_CA, root / "etc/attestd/ca.pem")
    # What a package does when it is installed.
    for arguments in (["systemd-sysusers", f"--root={root}"], ["systemctl", f"--root={root}", "enable", "attestd.service", "attestd-tpm.socket"]):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr


def open_testbed():
    """The collector runs as a user of its own: it may reach the TPM, and reads the logs by its capability alone."""
    folder = pathlib.Path(os.environ["TESTBED_DIR"])
    folder.chmod(0o711)
    for name in ("tpm.sock", "tpm.sock.ctrl"):
        (folder / name).chmod(0o666)
    for name in ("boot.log", "ima.log"):
        (folder / name).chmod(0o400)
    return folder


@contextlib.contextmanager
def own_cgroup():
    """Where no systemd runs outside, nspawn makes its groups in its own group: give it one that can be removed."""
    if os.path.isdir("/run/systemd/system"):
        yield []
        return
    hierarchies = [h for h in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f"{h}/cgroup.procs")]
    groups = [pathlib.Path(h) / f"attestd-test-{os.getpid()}" for h in hierarchies]
    for group in groups:
        group.mkdir()
    try:
        yield groups
    finally:
        for group in groups:
            for path, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)


def nspawn(root, groups, *arguments, **how):
    def join():
        for group in groups:
            (group / "cgroup.procs").write_text("0")

    environment = {name: value for name, value in os.environ.items() if name not in ("DBUS_SYSTEM_BUS_ADDRESS", "RUNTIME_DIRECTORY", "STATE_DIRECTORY")}
    environment.update(how.pop("env", {}))
    keep = ["--keep-unit"] if groups else []
    return subprocess.Popen(["systemd-nspawn", "--quiet", f"--directory={root}", f"--machine=attestd-test-{os.getpid()}", "--register=no", *keep, "--link-journal=no",
                             "--resolv-conf=off", "--timezone=off", *arguments],
                            stdin=subprocess.DEVNULL, preexec_fn=join, env=environment, **how)


def probe(root, groups):
    done = nspawn(root, groups, "/bin/true", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = done.communicate(timeout=60)[0]
    if done.returncode != 0:
        raise Skip(f"systemd-nspawn does not work here: {output.strip()}")


@contextlib.contextmanager
def booted(root, groups, testbed):
    """Boots and yields; afterwards the container is down."""
    global LEADER
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(testbed / "log/nspawn", "wb") as log:
        notify.bind(str(testbed / "nspawn.notify"))
        notify.settimeout(BOOT_SECONDS)
        process = nspawn(root, groups, "--notify-ready=yes", f"--bind={testbed}:/testbed", "--boot", "systemd.unit=attestd-test.target",
                         env={"NOTIFY_SOCKET": str(testbed / "nspawn.notify")}, stdout=log, stderr=log)
        try:
            message = ""
            while "READY=1" not in message:
                message = notify.recv(4096).decode()
                for line in message.splitlines():
                    if line.startswith("X_NSPAWN_LEADER_PID="):
                        LEADER = line.split("=")[1]
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# What is checked, in this order: the later ones build on the state that the earlier ones leave

def check_boot():
    assert unit_property("attestd.service", "ActiveState") == "active", inside("systemctl", "status", "attestd.service", check=None)
    inside("attestctl", "wait", "--timeout", "60")
    shown = status_inside()
    assert shown["State"] == "attested" and shown["TpmHealth"] == "ok", shown
    assert shown["profiles"]["default"]["PcrVerdicts"]["10"] == "replayed", shown
    assert shown["profiles"]["default"]["ImaLogState"] == "ok" and shown["profiles"]["default"]["BootLogState"] == "ok", shown


def check_users_and_sandbox():
    users = dict(line.split(":")[0:3:2] for line in inside("cat", "/etc/passwd").splitlines())
    daemon, collector = process_status("attestd.service"), process_status("attestd-tpm.service")
    assert daemon["Uid"] == [users["attestd"]] * 4 and collector["Uid"] == [users["attestd-tpm"]] * 4, (daemon["Uid"], collector["Uid"])
    for process in (daemon, collector):
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(process[kind][0], 16) == 0, (process["Name"], kind, process[kind])
        assert process["NoNewPrivs"] == ["1"] and process["Seccomp"] == ["2"], process
    networks = {unit: inside("readlink", f"/proc/{unit_property(unit, 'MainPID')}/ns/net") for unit in ("attestd.service", "attestd-tpm.service")}
    assert networks["attestd.service"] == inside("readlink", "/proc/1/ns/net") != networks["attestd-tpm.service"], networks
    assert unit_property("attestd.service", "WatchdogUSec") == "1min"


def check_directories():
    modes = {line.split()[0]: line.split()[1:] for line in
             inside("stat", "-c", "%n %U %a", "/run/attestd", "/run/attestd/tpm.sock", "/run/attestd/attestd.sock", "/var/lib/attestd-tpm").splitlines()}
    assert modes == {"/run/attestd": ["attestd", "755"], "/run/attestd/tpm.sock": ["attestd", "600"], "/run/attestd/attestd.sock": ["attestd", "666"],
                     "/var/lib/attestd-tpm": ["attestd-tpm", "700"]}, modes
    for folder, owner in (("/run/attestd", "attestd"), ("/var/lib/attestd-tpm", "attestd-tpm")):
        for line in inside("find", folder, "-type", "f", "-printf", "%p %u %m\n").splitlines():
            assert line.split()[1:] == [owner, "600"], line


def as_nobody(*arguments, check=0):
    return inside("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *arguments, check=check)


def check_access_of_other_users():
    url = "http://localhost/v1"
    fetch = ["curl", "--silent", "--unix-socket", "/run/attestd/attestd.sock", "--write-out", "\n%{http_code}"]
    assert json.loads(as_nobody("attestctl", "status", "--json"))["State"] == "attested"
    body, code = as_nobody(*fetch, f"{url}/profiles/default/token").rsplit("\n", 1)
    assert code == "403" and json.loads(body)["error"]["code"] == "AccessDenied", (code, body)
    assert "eyJ" not in body
    get_token = ["busctl", "call", "org.attestd1", "/org/attestd1/profile/default", "org.attestd1.Profile", "GetToken", "a{sv}", "0"]
    as_nobody(*get_token, check=1)
    assert inside(*get_token).startswith('s "eyJ')
    body, code = inside(*fetch, f"{url}/profiles/default/token").rsplit("\n", 1)
    assert code == "200" and json.loads(body)["token"].startswith("eyJ"), code
    # A user is let in by group, which attestd must see as it is outside of its own sandbox.
    gid = inside("getent", "group", "attestd").split(":")[2]
    code = inside("setpriv", "--reuid=65534", f"--regid={gid}", "--clear-groups", "--", *fetch, f"{url}/profiles/default/token").rsplit("\n", 1)[1]
    assert code == "200", code


def check_hibernation_hook():
    """What runs before hibernation; what comes of it after one is in test-hibernation.py."""
    assert unit_property("attestd-hibernate.service", "UnitFileState") == "enabled"   # with attestd.service
    assert "sleep.target" in unit_property("attestd-hibernate.service", "Before").split()
    assert "attestd-hibernate.service" in unit_property("hibernate.target", "Wants").split()
    kept = "/var/lib/attestd-tpm/boot-attestation.json"
    inside("test", "-e", kept, check=1)
    inside("systemctl", "start", "attestd-hibernate.service")
    assert inside("stat", "-c", "%U %a", kept).strip() == "attestd-tpm 600"
    inside("attestctl", "attest")
    shown = profile()
    assert (shown["BootAttestationState"], shown["BootAttestationReason"]) == ("kept", ""), shown


def check_restart_keeps_token_and_collector():
    before, collector = profile()["TokenIssued"], unit_property("attestd-tpm.service", "MainPID")
    inside("systemctl", "restart", "attestd.service")
    inside("attestctl", "wait", "--timeout", "60")
    assert profile()["TokenIssued"] == before, "the token did not survive the restart"
    inside("systemctl", "stop", "attestd.service")
    inside("test", "-S", "/run/attestd/tpm.sock")
    inside("test", "!", "-e", "/run/attestd/attestd.sock")
    inside("attestctl", "status", check=error_table()["NotRunning"]["exit_status"])
    inside("systemctl", "start", "attestd.service")
    inside("attestctl", "attest", "--timeout", "60")
    assert unit_property("attestd-tpm.service", "MainPID") == collector, "another collector was started"
    check_directories()


def check_reload():
    inside("systemctl", "reload", "attestd.service")
    inside("attestctl", "wait", "--timeout", "60")
    assert unit_property("attestd.service", "ActiveState") == "active"


def check_kills():
    inside("systemctl", "kill", "-s", "KILL", "attestd-tpm.service")
    inside("attestctl", "attest", "--timeout", "60")
    daemon = unit_property("attestd.service", "MainPID")
    inside("systemctl", "kill", "-s", "KILL", "attestd.service")
    wait_until(lambda: unit_property("attestd.service", "MainPID") not in ("0", daemon), 30, "attestd started again")
    wait_unit("attestd.service", "ActiveState", "active")
    inside("attestctl", "attest", "--timeout", "60")


def check_restart_of_everything():
    inside("systemctl", "stop", "attestd.service", "attestd-tpm.service", "attestd-tpm.socket")
    inside("systemctl", "start", "attestd.service")
    assert unit_property("attestd-tpm.socket", "ActiveState") == "active", "attestd.service does not pull in the collector's socket"
    inside("attestctl", "attest", "--timeout", "60")
    check_directories()


def check_tpm_that_comes_late():
    """No TPM: a failure with a name, and the collector's socket stays; later there is one, and nobody has to do anything."""
    away = "/testbed/tpm.sock.away"
    inside("mv", "/testbed/tpm.sock", away)
    try:
        inside("systemctl", "restart", "attestd-tpm.service")
        for _ in range(3):
            inside("attestctl", "attest", "--timeout", "0", check=error_table()["TpmAbsent"]["exit_status"])
        assert status_inside()["TpmHealth"] == "absent", status_inside()
    finally:
        inside("mv", away, "/testbed/tpm.sock")
    inside("attestctl", "attest", "--timeout", "60")
    assert unit_property("attestd-tpm.socket", "ActiveState") == "active"
    assert status_inside()["TpmHealth"] == "ok", status_inside()


def check_bad_configuration_stops_without_a_loop():
    config = "/etc/attestd/attestd.conf.d/60-bad.conf"
    inside("sh", "-c", f"printf '[Token]\\nClockSkewSec=soon\\n' > {config}")
    inside("systemctl", "restart", "attestd.service", check=1)
    assert unit_property("attestd.service", "ExecMainStatus") == str(error_table()["ConfigInvalid"]["exit_status"])
    assert unit_property("attestd.service", "NRestarts") == "0" and unit_property("attestd.service", "ActiveState") == "failed"
    journal = inside("journalctl", "-b", "-u", "attestd.service", "-o", "cat", "-n", "20")
    assert f"{config}:2" in journal and "ClockSkewSec" in journal, journal
    inside("rm", config)
    inside("systemctl", "reset-failed", "attestd.service")
    inside("systemctl", "start", "attestd.service")
    inside("attestctl", "wait", "--timeout", "60")


def check_journal():
    journal = [json.loads(line) for line in inside("journalctl", "-b", "-o", "json", "-u", "attestd.service").splitlines()]
    errors = {item["message_id"]: item["name"] for item in error_table().values()}
    named = [entry for entry in journal if errors.get(entry.get("MESSAGE_ID")) == "ConfigInvalid"]
    assert named, "the bad configuration is in the journal without its message id"
    inside("journalctl", "--update-catalog")
    assert "Subject: ConfigInvalid" in inside("journalctl", "-b", "-x", "-u", "attestd.service")
    denied = [entry["MESSAGE"] for entry in journal if "eyJ" in str(entry.get("MESSAGE"))]
    assert not denied, "a token stands in the journal"


CHECKS = [check_boot, check_users_and_sandbox, check_directories, check_access_of_other_users, check_hibernation_hook,
          check_restart_keeps_token_and_collector, check_reload,
          check_kills, check_restart_of_everything, check_tpm_that_comes_late, check_bad_configuration_stops_without_a_loop, check_journal]


def test_units_under_a_real_systemd():
    if os.getuid() != 0:
        raise Skip("needs root")
    for program in ("systemd-nspawn", "nsenter", "systemctl", "setpriv", "dbus-daemon"):
        if not shutil.which(program):
            raise Skip(f"needs {program}")
    options = {option["name"]: option["value"] for option in json.loads(command("meson", "introspect", "--buildoptions", BUILD).stdout)}
    if options["b_sanitize"] != "none":
        raise Skip("a sanitizer's runtime does what the sandbox of the units forbids")
    testbed = open_testbed()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="attestd-nspawn-", dir="/var/tmp"))
    try:
        root = make_root(folder)
        install(root)
        with own_cgroup() as groups:
            probe(root, groups)
            with booted(root, groups, testbed):
                for check in CHECKS:
                    begin = time.monotonic()
                    try:
                        check()
                    except Exception:
                        print(inside("journalctl", "-b", "-o", "short", "--no-pager", "-n", "60", check=None))
                        raise
                    print(f"    {check.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
    finally:
        command("umount", "-R", folder / "root")
        command("umount", folder)
        folder.rmdir()


run(globals())
