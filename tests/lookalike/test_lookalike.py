"""The phone lookalike keeps what it promises: it is a phone as far as adb can tell, and what breaks it is real."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike import testbed
from lookalike.cores import Core
from lookalike.fixtures import AdbKey, AdbServer, make_adb_key, running_adb_server
from lookalike.lookalike import Lookalike
from lookalike.processes import descendants

StartPhone = Callable[..., Lookalike]


def wait_until(happened: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it happens within this time."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


# What adb sees


def test_shell_runs_as_the_shell_user_and_passes_the_exit_status_on(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    assert adb_server.shell(phone, "id -u; id -g").stdout.split() == ["2000", "2000"]
    ended = adb_server.shell(phone, "echo out; echo err >&2; exit 7", check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "out\n", "err\n")


def test_folders_and_commands_are_those_of_a_phone(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    for absent in ("/tmp", "/usr", "/lib", "/lib64", "/home", "/dev/shm"):
        assert adb_server.shell(phone, f"ls -d {absent}", check=False).returncode != 0
    for absent in ("awk", "tr", "bash", "python3", "perl"):
        assert adb_server.shell(phone, f"{absent} --version", check=False).returncode == 127
    assert adb_server.shell(phone, "echo $SHELL $0 $TMPDIR").stdout.split() == [
        "/system/bin/sh",
        "/system/bin/sh",
        "/data/local/tmp",
    ]
    assert adb_server.shell(phone, "touch /system/x || touch /x || ls /data", check=False).returncode != 0


def test_a_program_that_needs_libraries_of_the_host_does_not_start(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    true = shutil.which("true")
    assert true is not None
    adb_server.adb("-s", phone.serial, "push", true, "/data/local/tmp/true")
    ended = adb_server.shell(phone, "chmod 755 /data/local/tmp/true; /data/local/tmp/true", check=False)
    assert ended.returncode in (126, 127)
    assert "No such file" in ended.stderr or "not found" in ended.stderr


def test_data_local_tmp_runs_programs_and_sdcard_does_not(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    make = "printf '#!/system/bin/sh\\necho ran\\n' >{0}/x && chmod 755 {0}/x && {0}/x"
    assert adb_server.shell(phone, make.format("/data/local/tmp")).stdout == "ran\n"
    ended = adb_server.shell(phone, make.format("/sdcard"), check=False)
    assert ended.returncode == 126
    assert "ermission denied" in ended.stderr


def test_push_and_pull_keep_every_byte(phone: Lookalike, adb_server: AdbServer, tmp_path: Path) -> None:
    adb_server.connect(phone)
    content = os.urandom(3_000_001)
    (tmp_path / "sent").write_bytes(content)
    adb_server.adb("-s", phone.serial, "push", str(tmp_path / "sent"), "/data/local/tmp/file")
    assert phone.path("/data/local/tmp/file").read_bytes() == content
    adb_server.adb("-s", phone.serial, "pull", "/data/local/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


def test_a_key_that_it_does_not_know_is_refused_until_it_is_trusted(
    phone: Lookalike, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = make_adb_key(tmp_path_factory.mktemp("key"))
    with running_adb_server(stranger, tmp_path_factory.mktemp("home")) as server:
        server.adb("connect", phone.serial, check=False)
        assert wait_until(lambda: server.state(phone) == "unauthorized")
        assert server.shell(phone, "true", check=False).returncode != 0
        phone.trust(stranger.public)
        server.disconnect(phone)
        server.connect(phone)
        assert server.shell(phone, "echo hello").stdout == "hello\n"
        phone.distrust()
        server.disconnect(phone)
        server.adb("connect", phone.serial, check=False)
        assert wait_until(lambda: server.state(phone) == "unauthorized")


def test_the_unpacked_adb_works_as_the_usual_one(
    phone: Lookalike, adb_key: AdbKey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = testbed.folder() / "tools" / "bin" / "adb"
    with running_adb_server(adb_key, tmp_path_factory.mktemp("home"), program) as server:
        assert "34." in server.adb("version").stdout
        server.connect(phone)
        assert server.shell(phone, "exit 3", check=False).returncode == 3


def test_the_unpacked_qemu_is_new_enough() -> None:
    program = testbed.qemu_program()
    if program is None:
        pytest.skip(testbed.available() or "no testbed")
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    assert int(version.split("version ")[1].split(".")[0]) >= 10


# State


def test_sensors_show_what_a_test_sets(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    assert "  level: 87\n" in adb_server.shell(phone, "dumpsys battery").stdout
    phone.set("bat_level", "12")
    phone.set("bat_temp", "415")
    phone.set("bat_usb", "false")
    battery = adb_server.shell(phone, "dumpsys battery").stdout
    assert "  level: 12\n" in battery
    assert "  temperature: 415\n" in battery
    assert "  USB powered: false\n" in battery
    phone.set("thermal_status", "3")
    phone.set("thermal_skin", "46.5")
    thermal = adb_server.shell(phone, "dumpsys thermalservice").stdout
    assert "Thermal Status: 3\n" in thermal
    assert "Temperature{mValue=46.5, mType=3, mName=skin, mStatus=3}" in thermal
    phone.unset("bat_level")
    assert "  level: 87\n" in adb_server.shell(phone, "dumpsys battery").stdout


def test_a_faked_battery_says_so_and_can_be_reset(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    adb_server.shell(phone, "dumpsys battery set level 99; dumpsys battery unplug")
    faked = adb_server.shell(phone, "dumpsys battery").stdout
    assert "UPDATES STOPPED" in faked
    assert "  level: 99\n" in faked
    assert "  USB powered: false\n" in faked
    adb_server.shell(phone, "dumpsys battery reset")
    assert "UPDATES STOPPED" not in adb_server.shell(phone, "dumpsys battery").stdout


def test_the_screen_follows_keys_and_the_keyguard_its_secret(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    adb_server.shell(phone, "input keyevent KEYCODE_SLEEP")
    assert "mWakefulness=Asleep" in adb_server.shell(phone, "dumpsys power").stdout
    assert "mKeyguardShowing=true" in adb_server.shell(phone, "dumpsys activity activities").stdout
    adb_server.shell(phone, "input keyevent KEYCODE_WAKEUP; wm dismiss-keyguard")
    assert "mWakefulness=Awake" in adb_server.shell(phone, "dumpsys power").stdout
    assert "mKeyguardShowing=false" in adb_server.shell(phone, "dumpsys activity activities").stdout
    phone.set("keyguard", "true")
    phone.set("keyguard_secure", "true")
    adb_server.shell(phone, "wm dismiss-keyguard")
    assert "showing=true" in adb_server.shell(phone, "dumpsys window policy").stdout


def test_settings_are_read_written_and_deleted(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    assert adb_server.shell(phone, "settings get system screen_brightness").stdout == "102\n"
    adb_server.shell(phone, "settings put system screen_brightness 0")
    assert phone.setting("system.screen_brightness") == "0"
    assert adb_server.shell(phone, "settings delete system screen_brightness").stdout == "Deleted 1 rows\n"
    assert adb_server.shell(phone, "settings get system screen_brightness").stdout == "null\n"
    assert adb_server.shell(phone, "settings get nowhere x", check=False).returncode == 255
    assert "low_power=0\n" in adb_server.shell(phone, "settings list global").stdout


def test_stay_awake_reaches_the_setting_and_the_power_manager(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    adb_server.shell(phone, "svc power stayon usb")
    assert phone.setting("global.stay_on_while_plugged_in") == "2"
    assert "mStayOn=true" in adb_server.shell(phone, "dumpsys power").stdout
    adb_server.shell(phone, "svc power stayon false")
    assert "mStayOn=false" in adb_server.shell(phone, "dumpsys power").stdout


def test_idle_airplane_and_fixed_performance_have_a_state(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    assert adb_server.shell(phone, "dumpsys deviceidle enabled").stdout == "1\n"
    assert adb_server.shell(phone, "dumpsys deviceidle disable").stdout.count("disabled") == 2
    assert adb_server.shell(phone, "dumpsys deviceidle enabled").stdout == "0\n"
    assert adb_server.shell(phone, "dumpsys deviceidle enable deep").stdout == "Deep idle mode enabled\n"
    assert (
        adb_server.shell(phone, "dumpsys deviceidle enabled deep; dumpsys deviceidle enabled light").stdout == "1\n0\n"
    )
    assert adb_server.shell(phone, "cmd connectivity airplane-mode").stdout == "disabled\n"
    adb_server.shell(phone, "cmd connectivity airplane-mode enable")
    assert adb_server.shell(phone, "cmd connectivity airplane-mode").stdout == "enabled\n"
    adb_server.shell(phone, "cmd power set-fixed-performance-mode-enabled true")
    assert phone.get("run/fixed_performance") == "true"


def test_a_maker_may_refuse_aloud_or_silently(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    phone.refuse("fixed_performance")
    ended = adb_server.shell(phone, "cmd power set-fixed-performance-mode-enabled true", check=False)
    assert ended.returncode == 255
    assert "FIXED_PERFORMANCE" in ended.stderr
    assert phone.get("run/fixed_performance") is None
    phone.refuse("settings.system.screen_brightness")
    ended = adb_server.shell(phone, "settings put system screen_brightness 0", check=False)
    assert ended.returncode == 255
    assert "SecurityException" in ended.stderr
    assert phone.setting("system.screen_brightness") == "102"
    phone.refuse("stayon", silently=True)
    assert adb_server.shell(phone, "svc power stayon true").stderr == ""
    assert phone.setting("global.stay_on_while_plugged_in") == "0"
    phone.allow("stayon")
    adb_server.shell(phone, "svc power stayon true")
    assert phone.setting("global.stay_on_while_plugged_in") == "15"


def test_a_command_gives_the_answer_that_a_test_prepared(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    phone.answer("dumpsys thermalservice", b"\xff\x00garbage", stderr="why\n", status=3, delay_s=0.2)
    began = time.monotonic()
    ended = subprocess.run(
        [adb_server.program, "-s", phone.serial, "exec-out", "dumpsys thermalservice 2>/dev/null; echo $?"],
        env=adb_server.env,
        check=True,
        capture_output=True,
    )
    assert ended.stdout == b"\xff\x00garbage3\n"
    assert time.monotonic() - began >= 0.2
    assert "level" in adb_server.shell(phone, "dumpsys battery").stdout
    phone.unanswer("dumpsys thermalservice")
    assert "Thermal Status: 0" in adb_server.shell(phone, "dumpsys thermalservice").stdout
    phone.set("missing.thermalservice", "")
    assert "Can't find service" in adb_server.shell(phone, "dumpsys thermalservice").stderr


def test_properties_are_the_phones_own(start_phone: StartPhone, adb_server: AdbServer) -> None:
    phone = start_phone(properties={"ro.product.model": "Pixel 8", "ro.soc.model": "Tensor G3"})
    adb_server.connect(phone)
    assert adb_server.shell(phone, "getprop ro.product.model").stdout == "Pixel 8\n"
    assert adb_server.shell(phone, "getprop no.such.thing; getprop no.such.thing fallback").stdout == "\nfallback\n"
    assert "[ro.soc.model]: [Tensor G3]\n" in adb_server.shell(phone, "getprop").stdout
    assert adb_server.shell(phone, "setprop ro.soc.model x", check=False).returncode == 1
    adb_server.shell(phone, "setprop debug.mine 1")
    assert adb_server.shell(phone, "getprop debug.mine").stdout == "1\n"
    phone.reboot()
    adb_server.connect(phone)
    assert adb_server.shell(phone, "getprop debug.mine").stdout == "\n"


def test_cores_temperatures_and_files_of_proc_can_be_made_up(start_phone: StartPhone, adb_server: AdbServer) -> None:
    small, big = Core(1_800_000, governor="walt"), Core(2_800_000)
    phone = start_phone(
        cores=[small] * 4 + [big] * 4,
        thermal_zones={"cpu-0-0": 41_000, "battery": 28_300},
        shown={"/proc/cpuinfo": "Hardware\t: Made up\n"},
    )
    adb_server.connect(phone)
    cpu = "/sys/devices/system/cpu"
    assert adb_server.shell(phone, f"cat {cpu}/possible").stdout == "0-7\n"
    read = f"for c in {cpu}/cpu[0-9]*; do cat $c/cpufreq/cpuinfo_max_freq; done"
    assert adb_server.shell(phone, read).stdout.split() == ["1800000"] * 4 + ["2800000"] * 4
    assert adb_server.shell(phone, f"cat {cpu}/cpu3/cpufreq/scaling_governor").stdout == "walt\n"
    phone.path(f"{cpu}/cpufreq/policy4/scaling_max_freq").write_text("1500000\n")
    assert adb_server.shell(phone, f"cat {cpu}/cpu7/cpufreq/scaling_max_freq").stdout == "1500000\n"
    assert adb_server.shell(phone, f"echo 1 >{cpu}/cpu7/cpufreq/scaling_max_freq", check=False).returncode != 0
    assert adb_server.shell(phone, "cat /sys/class/thermal/thermal_zone1/temp").stdout == "28300\n"
    assert adb_server.shell(phone, "cat /proc/cpuinfo").stdout == "Hardware\t: Made up\n"


def test_the_hosts_own_processor_and_boot_show_by_default(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    possible = Path("/sys/devices/system/cpu/possible").read_text()
    assert adb_server.shell(phone, "cat /sys/devices/system/cpu/possible").stdout == possible
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()
    assert adb_server.shell(phone, "cat /proc/sys/kernel/random/boot_id").stdout == boot_id


# What goes wrong


def test_a_full_storage_is_full_until_it_is_freed(
    start_phone: StartPhone, adb_server: AdbServer, tmp_path: Path
) -> None:
    phone = start_phone(root_size_mb=8)
    adb_server.connect(phone)
    phone.fill()
    ended = adb_server.shell(phone, "echo hello >/data/local/tmp/x", check=False)
    assert ended.returncode != 0
    assert "No space left on device" in ended.stderr
    (tmp_path / "big").write_bytes(bytes(4_000_000))
    push = ("-s", phone.serial, "push", str(tmp_path / "big"), "/data/local/tmp/big")
    assert adb_server.adb(*push, check=False).returncode != 0
    phone.fill(leave_bytes=1_000_000)
    assert adb_server.adb(*push, check=False).returncode != 0
    phone.free()
    adb_server.adb(*push)
    assert adb_server.shell(phone, "df -k /data/local/tmp").stdout.splitlines()[1].split()[1] == "8192"


def test_a_reboot_ends_processes_changes_the_boot_id_and_keeps_files(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    before = phone.boot_id
    adb_server.shell(phone, "echo kept >/data/local/tmp/file; setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
    assert wait_until(lambda: [process.argv[-2:] for process in phone.processes()] == [("sleep", "1000")])
    (sleeper,) = phone.processes()
    assert sleeper.user == 2000
    adb_server.shell(phone, "cmd power set-fixed-performance-mode-enabled true; settings put global low_power 1")
    phone.reboot()
    assert not is_running(sleeper.pid)
    assert phone.processes() == []
    adb_server.connect(phone)
    after = adb_server.shell(phone, "cat /proc/sys/kernel/random/boot_id").stdout.strip()
    assert after == phone.boot_id != before
    assert adb_server.shell(phone, "cat /data/local/tmp/file").stdout == "kept\n"
    assert phone.get("run/fixed_performance") is None
    assert phone.setting("global.low_power") == "1"


def test_the_boot_id_can_change_under_a_running_phone(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    phone.boot_id = "11111111-2222-3333-4444-555555555555"
    shown = adb_server.shell(phone, "cat /proc/sys/kernel/random/boot_id").stdout
    assert shown == "11111111-2222-3333-4444-555555555555\n"


def test_processes_outlive_adbd_and_it_comes_back(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    adb_server.shell(phone, "setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
    assert wait_until(lambda: len(phone.processes()) == 1)
    phone.kill_adbd()
    assert adb_server.shell(phone, "true", check=False).returncode != 0
    assert [process.argv[-2:] for process in phone.processes()] == [("sleep", "1000")]
    phone.restart_adbd()
    adb_server.connect(phone)
    assert adb_server.shell(phone, "echo back").stdout == "back\n"


def test_a_paused_adbd_says_nothing_until_it_goes_on(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    phone.pause_adbd()
    with pytest.raises(subprocess.TimeoutExpired):
        adb_server.adb("-s", phone.serial, "shell", "true", timeout_s=0.5)
    phone.resume_adbd()
    assert adb_server.shell(phone, "echo on").stdout == "on\n"


def test_a_phone_that_is_off_runs_nothing_and_comes_back(phone: Lookalike, adb_server: AdbServer) -> None:
    adb_server.connect(phone)
    phone.power_off()
    assert phone.processes() == []
    assert adb_server.shell(phone, "true", check=False).returncode != 0
    phone.power_on()
    adb_server.connect(phone)
    assert adb_server.shell(phone, "echo back").stdout == "back\n"


# Life


def test_two_phones_stand_side_by_side(start_phone: StartPhone, adb_server: AdbServer) -> None:
    one, other = start_phone(), start_phone()
    adb_server.connect(one)
    adb_server.connect(other)
    adb_server.shell(one, "echo one >/data/local/tmp/name; settings put global low_power 1")
    assert adb_server.shell(other, "ls /data/local/tmp").stdout == ""
    assert other.setting("global.low_power") == "0"
    one.reboot()
    assert adb_server.shell(other, "echo still here").stdout == "still here\n"


def test_nothing_is_left_after_stop(adb_key: AdbKey, adb_server: AdbServer) -> None:
    if testbed.available():
        pytest.skip(testbed.available() or "")
    mine = {process.pid for process in descendants(os.getpid())}
    phone = Lookalike(keys=[adb_key.public]).start()
    home = phone.path("/").parent
    adb_server.connect(phone)
    adb_server.shell(phone, "setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
    assert wait_until(lambda: len(phone.processes()) == 1)
    inside = [process.pid for process in descendants(os.getpid()) if process.pid not in mine]
    assert len(inside) >= 4
    phone.stop()
    phone.stop()
    assert not any(is_running(pid) for pid in inside)
    assert not home.exists()
    assert str(home.name) not in Path("/proc/mounts").read_text()
    assert {process.pid for process in descendants(os.getpid())} <= mine


def test_nothing_is_left_when_the_tests_process_is_killed(adb_key: AdbKey) -> None:
    if testbed.available():
        pytest.skip(testbed.available() or "")
    program = textwrap.dedent(f"""
        import pathlib, sys, time
        from lookalike.lookalike import Lookalike
        from lookalike.processes import descendants
        import os
        phone = Lookalike(keys=[pathlib.Path({str(adb_key.public)!r})]).start()
        print(phone.path("/").parent.name, *[process.pid for process in descendants(os.getpid())], flush=True)
        time.sleep(100)
    """)
    tests = str(testbed.HERE.parent)
    owner = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": tests}
    )
    assert owner.stdout is not None
    name, *pids = owner.stdout.readline().split()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert len(pids) >= 3
    try:
        assert wait_until(lambda: not any(is_running(int(pid)) for pid in pids))
    finally:
        shutil.rmtree(Path(f"/tmp/{name}"), ignore_errors=True)


def test_it_starts_in_well_under_a_second(adb_key: AdbKey) -> None:
    if testbed.available():
        pytest.skip(testbed.available() or "")
    durations = []
    for _ in range(3):
        began = time.monotonic()
        with Lookalike(keys=[adb_key.public]):
            durations.append(time.monotonic() - began)
    assert min(durations) < 1.0


# Being there or not


def test_the_folder_is_the_one_that_the_build_script_names() -> None:
    named = subprocess.run(
        [testbed.HERE / "build.sh", "--where"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert Path(named) == testbed.folder()


def test_without_a_testbed_the_reason_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POCKETNAS_TESTBED", str(tmp_path / "none"))
    reason = testbed.available()
    assert reason is not None
    assert "make testbed" in reason
    with pytest.raises(RuntimeError, match="make testbed"):
        Lookalike().start()


def test_the_build_script_refuses_in_one_line_where_it_cannot(tmp_path: Path) -> None:
    """A folder that is no testbed is never replaced."""
    (tmp_path / "precious").write_text("mine")
    ended = subprocess.run(
        [testbed.HERE / "build.sh"],
        env={**os.environ, "POCKETNAS_TESTBED": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert (tmp_path / "precious").read_text() == "mine"
