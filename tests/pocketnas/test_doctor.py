"""`pocketnas doctor`: phones in every condition, what it says of them, and what it puts right."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calling import Caller, config_with
from device_samples import CPUINFO
from lookalike.cores import Core
from lookalike.fixtures import AdbKey, AdbServer
from lookalike.lookalike import Lookalike

from android_bench.adb.adb_shell_channel import AdbShellChannel, TcpSocket
from android_bench.adb.keys import adb_keys
from android_bench.adb.lock import PhoneLock
from android_bench.adb.phone_transport import PhoneTransport
from android_bench.reasons import REASONS

StartPhone = Callable[..., Lookalike]
OURS = "/data/local/tmp/pocketnas"
BIG_LITTLE = [*[Core(1_800_000)] * 4, *[Core(2_850_000, governor="performance")] * 4]


@pytest.fixture
def pocketnas(adb_server: AdbServer, tmp_path: Path) -> Caller:
    return Caller.beside(adb_server, tmp_path / "cache")


@pytest.fixture
def phone(start_phone: StartPhone, adb_server: AdbServer) -> Lookalike:
    started = start_phone(cores=BIG_LITTLE)
    adb_server.connect(started)
    return started


def examined(pocketnas: Caller, phone: Lookalike, *, status: int) -> Any:
    said = pocketnas.json("doctor", "-d", phone.serial, status=status)
    (checkup,) = said["devices"]
    assert said["fit"] == checkup["fit"] == (status == 0)
    return checkup


def reasons(checkup: Any) -> dict[str, Any]:
    return {reason["id"]: reason for reason in checkup["reasons"]}


def put(phone: Lookalike, name: str, text: str) -> None:
    """A file of ours on the phone, as a session would have left it."""
    path = phone.path(f"{OURS}/{name}")
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir()
        os.chown(folder, 2000, 2000)
    path.write_text(text)
    os.chown(path, 2000, 2000)


def test_cores_of_one_clock_and_two_kinds_are_two_clusters(
    pocketnas: Caller, start_phone: StartPhone, adb_server: AdbServer
) -> None:
    phone = start_phone(cores=[Core(2_803_000)] * 8, shown={"/proc/cpuinfo": CPUINFO})
    adb_server.connect(phone)
    clusters = examined(pocketnas, phone, status=0)["system"]["clusters"]
    assert [(cluster["cores"], cluster["part"]) for cluster in clusters] == [
        ([0, 1, 2], "0x41:0xd46"),
        ([5, 6], "0x41:0xd47"),
        ([3, 4], "0x41:0xd4d"),
        ([7], "0x41:0xd4e"),
    ]


def test_a_fit_phone_in_full(pocketnas: Caller, phone: Lookalike) -> None:
    checkup = examined(pocketnas, phone, status=0)
    assert checkup["reasons"] == []
    assert checkup["device"]["state"] == "ready"
    system, android = checkup["system"], checkup["android"]
    slow, fast = system["clusters"]
    assert (slow["cores"], slow["mask"], slow["max_freq_khz"]) == ([0, 1, 2, 3], "f", 1_800_000)
    assert (fast["cores"], fast["mask"], fast["max_freq_khz"]) == ([4, 5, 6, 7], "f0", 2_850_000)
    assert (fast["allowed_khz"], fast["current_khz"], fast["governors"]) == ([2_850_000], [300_000], ["performance"])
    assert system["boot_id"] == phone.boot_id
    assert system["uptime_s"] > 0
    assert system["room"]["free_kb"] > 1_000_000
    assert system["available_memory_kb"] > 0
    assert system["load_1min"] >= 0
    assert (android["battery"]["level_percent"], android["battery"]["temperature_c"]) == (87, 28.3)
    assert (android["battery"]["powered"], android["battery"]["faked"]) == (["usb"], False)
    assert android["thermal"]["status"] == 0
    assert {sensor["sensor"] for sensor in android["thermal"]["temperatures"]} == {"skin", "battery", "CPU0"}
    assert android["thermal"]["cooling"] == [{"device": "thermal-cpufreq-0", "state": 0}]
    assert (android["power"]["wakefulness"], android["battery_saver"]) == ("Awake", False)
    assert (android["idle_state"], android["idle_enabled"]) == ("ACTIVE", True)
    assert android["fixed_performance_mode"] is None
    assert (android["lock_readable"], android["lock"], android["to_restore"]) == (True, None, {})
    assert (android["bundles"], android["models_kb"], android["missing_tools"]) == ([], 0, [])
    assert {runner["runtime"]: runner["state"] for runner in checkup["runners"]} == {
        "tflite": "buildable",
        "executorch": "buildable",
    }


def test_what_a_person_reads(pocketnas: Caller, phone: Lookalike) -> None:
    phone.set("bat_level", "12")
    done = pocketnas("doctor", "-d", phone.serial)
    assert (done.status, done.err) == (1, "")
    lines = done.out.splitlines()
    assert max(map(len, lines[:-2])) <= 100
    assert lines[0] == f"{phone.serial}: ready, transport adb (network)"
    rows = {line[1:19].strip(): line[19:].strip() for line in lines if line.startswith(" ")}
    assert rows["model"] == "PocketNAS Lookalike"
    assert rows["battery"] == "12 %, 28.3 °C, charging; power: usb"
    assert rows["heat"].startswith("status 0 (none); hottest: CPU0 41.0 °C, skin 30.2 °C, battery 28.3 °C")
    assert rows["doze"] == "allowed, state ACTIVE"
    assert rows["fixed performance"] == "unreadable (Android offers no way to ask)"
    assert rows["lock"] == "free"
    assert rows["to be put back"] == "nothing"
    assert ["4-7", "f0", "-", "2850", "2850", "300", "performance"] in [line.split() for line in lines]
    assert f"{phone.serial} is not fit to measure:" in lines
    assert " battery-low   12 % of 25 % needed   charge it " in done.out
    assert lines[-1].startswith("this machine: adb ")
    phone.unset("bat_level")
    done = pocketnas("doctor", "-d", phone.serial)
    assert done.status == 0
    assert f"{phone.serial} is fit to measure" in done.out.splitlines()


@pytest.mark.parametrize(
    ("states", "id"),
    [
        ({"bat_level": "12"}, "battery-low"),
        ({"bat_temp": "412"}, "too-warm"),
        ({"thermal_skin": "41.5"}, "too-warm"),
        ({"thermal_status": "2"}, "thermal-status"),
        ({"cooling": "3"}, "throttled"),
        ({"wakefulness": "Asleep"}, "screen-off"),
        ({"settings/global.low_power": "1"}, "battery-saver"),
        ({"run/battery/level": "90"}, "battery-faked"),
        ({"run/thermal_override": "0"}, "thermal-faked"),
        ({"prop/ro.kernel.qemu": "1"}, "emulator"),
    ],
)
def test_every_bad_state_has_its_reason_and_remedy(
    pocketnas: Caller, phone: Lookalike, states: dict[str, str], id: str
) -> None:
    for name, value in states.items():
        phone.set(name, value)
    checkup = examined(pocketnas, phone, status=1)
    found = reasons(checkup)
    assert list(found) == [id]
    assert id in REASONS
    assert found[id]["tolerable"]
    assert found[id]["detail"]
    assert found[id]["remedy"]
    settled = "a measuring session sets this right by itself" in " ".join(checkup["notes"])
    assert settled == (id in ("screen-off", "battery-saver"))


def test_a_capped_core_is_seen(pocketnas: Caller, phone: Lookalike) -> None:
    phone.path("/sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq").write_text("1785000\n")
    checkup = examined(pocketnas, phone, status=1)
    assert checkup["system"]["clusters"][1]["allowed_khz"] == [1_785_000]
    assert reasons(checkup)["throttled"]["detail"] == "core 4 may run at 1785000 of 2850000 kHz"
    rows = [line.split() for line in pocketnas("doctor", "-d", phone.serial).out.splitlines()]
    assert ["4-7", "f0", "-", "2850", "1785", "300", "performance", "capped"] in rows


def test_what_cannot_be_read_is_unreadable_and_not_judged(pocketnas: Caller, phone: Lookalike) -> None:
    phone.set("missing.thermalservice", "")
    phone.answer("dumpsys battery", "Current Battery Service condition: fine\n")
    phone.answer("dumpsys deviceidle get deep", "Unknown get option: deep\n")
    phone.answer("dumpsys deviceidle enabled", "Unknown command: enabled\n")
    phone.answer("dumpsys power", "")
    checkup = examined(pocketnas, phone, status=0)
    android = checkup["android"]
    assert android["battery"] is android["thermal"] is android["power"] is None
    assert android["absent"] == ["thermalservice"]
    assert android["idle_state"] is android["idle_enabled"] is None
    assert any(line.startswith("dumpsys battery: ") for line in checkup["unreadable"])
    assert any(line.startswith("idle state: ") for line in checkup["unreadable"])
    assert "not judged, because the phone does not tell: battery, thermal, power" in checkup["notes"]
    done = pocketnas("doctor", "-d", phone.serial)
    rows = {line[1:19].strip(): line[19:].strip() for line in done.out.splitlines() if line.startswith(" ")}
    assert rows["battery"] == rows["screen"] == "unreadable"
    assert rows["heat"] == "unreadable: this phone has no service thermalservice"
    assert rows["doze"] == "unreadable, state unreadable"


def test_a_phone_without_cpufreq_shows_its_clocks_as_unreadable(
    pocketnas: Caller, adb_server: AdbServer, start_phone: StartPhone
) -> None:
    bare = start_phone(shown={"/sys/devices/system/cpu/online": "0-1\n"})
    adb_server.connect(bare)
    checkup = examined(pocketnas, bare, status=0)
    (cluster,) = checkup["system"]["clusters"]
    assert (cluster["cores"], cluster["mask"], cluster["max_freq_khz"]) == ([0, 1], "3", None)
    assert cluster["governors"] == cluster["allowed_khz"] == []
    assert "not judged, because the phone does not tell: whether its clocks are capped" in checkup["notes"]
    done = pocketnas("doctor", "-d", bare.serial)
    assert ["0-1", "3", "-", *["unreadable"] * 4] in [line.split() for line in done.out.splitlines()]


def test_a_lock_is_shown_kept_and_broken(pocketnas: Caller, adb_key: AdbKey, phone: Lookalike) -> None:
    transport = over_tcp(phone, adb_key)
    PhoneLock(transport, "phone", holder="anna@desk").take(lease_s=600)
    checkup = examined(pocketnas, phone, status=1)
    assert checkup["device"]["state"] == "busy"
    assert checkup["android"]["lock"]["name"] == "anna@desk"
    assert 500 < checkup["android"]["lock"]["left_s"] <= 600
    busy = reasons(checkup)["busy"]
    assert not busy["tolerable"]
    assert busy["detail"].startswith("anna@desk measures on it, for at most ")
    assert busy["remedy"] == f"wait, or if that host is gone: pocketnas doctor -d {phone.serial} --unlock"

    refused = pocketnas("doctor", "-d", phone.serial, "--restore")
    assert (refused.status, refused.out) == (1, "")
    assert "is being measured by anna@desk" in refused.err

    done = pocketnas("doctor", "-d", phone.serial, "--unlock")
    assert done.status == 0
    assert done.err.startswith(f"{phone.serial} was locked by anna@desk for ")
    assert done.err.endswith("s more; the lock is broken\n")
    assert not PhoneLock(transport, "phone").keep()
    transport.close()
    again = pocketnas.json("doctor", "-d", phone.serial, "--unlock")
    assert again["unlocked"] is None


def test_settings_that_a_session_left_are_shown_and_put_back(pocketnas: Caller, phone: Lookalike) -> None:
    phone.set("settings/system.screen_brightness", "0")
    phone.set("run/deviceidle_deep", "0")
    put(phone, "restore", "screen_brightness=102\ndoze=1\nevil=$(reboot)\n")
    checkup = examined(pocketnas, phone, status=0)
    assert checkup["android"]["to_restore"] == {"screen_brightness": "102", "doze": "1"}
    assert any("screen_brightness, doze; the next one will" in note for note in checkup["notes"])

    done = pocketnas("doctor", "-d", phone.serial, "--restore")
    assert done.status == 0
    assert f"{phone.serial}: screen_brightness restored: 102" in done.err.splitlines()
    assert f"{phone.serial}: doze restored: 1" in done.err.splitlines()
    assert phone.setting("system.screen_brightness") == "102"
    assert phone.get("run/deviceidle_deep") == "1"
    again = pocketnas.json("doctor", "-d", phone.serial, "--restore")
    assert again["restored"] == []
    assert again["devices"][0]["android"]["to_restore"] == {}
    assert again["devices"][0]["android"]["lock"] is None, "it is locked only while settings are put back"


def test_a_setting_that_the_phone_does_not_take_back_stays_noted(pocketnas: Caller, phone: Lookalike) -> None:
    put(phone, "restore", "screen_brightness=102\nlow_power=0\n")
    phone.refuse("settings.global.low_power")
    said = pocketnas.json("doctor", "-d", phone.serial, "--restore", status=1)
    assert [(change["setting"], change["outcome"]) for change in said["restored"]] == [
        ("low_power", "not restored"),
        ("screen_brightness", "restored"),
    ]
    assert "Exception occurred" in said["restored"][0]["detail"]
    assert said["devices"][0]["android"]["to_restore"] == {"low_power": "0"}


def test_a_full_phone_is_examined_and_unlocked_all_the_same(pocketnas: Caller, phone: Lookalike) -> None:
    examined(pocketnas, phone, status=0)
    phone.fill()
    checkup = examined(pocketnas, phone, status=1)
    full = reasons(checkup)["storage-full"]
    assert full["remedy"] == f"free some, e.g.: pocketnas runner clean -d {phone.serial}"
    assert not full["tolerable"]
    assert checkup["android"]["battery"]["level_percent"] == 87
    assert pocketnas("doctor", "-d", phone.serial, "--unlock").status == 1
    refused = pocketnas("doctor", "-d", phone.serial, "--restore")
    assert refused.status == 1
    assert "has no room left" in refused.err
    phone.free()
    examined(pocketnas, phone, status=0)


def test_runners_on_the_phone_are_told_from_stale_ones(pocketnas: Caller, phone: Lookalike, tmp_path: Path) -> None:
    cached = tmp_path / "cache" / "bundles" / "tflite-x86_64-0123"
    cached.mkdir(parents=True)
    (cached / "content.json").write_text(json.dumps({"runner": "ab" * 32}))
    own = examined(pocketnas, phone, status=0)["runners"][0]["bundle_sha256"]
    old = "0" * 64
    for sha256, library in ((own, "libLiteRt.so"), (old, "libLiteRt.so"), ("1" * 64, "libexecutorch.so")):
        put(phone, f"bundles/{sha256}/lib/{library}", "x" * 300_000)
    put(phone, f"blobs/{old}", "x" * 100_000)
    checkup = examined(pocketnas, phone, status=0)
    found = {bundle["sha256"]: bundle for bundle in checkup["android"]["bundles"]}
    assert (found[own]["runtime"], found[own]["stale"]) == ("tflite", False)
    assert (found[old]["runtime"], found[old]["stale"]) == ("tflite", True)
    assert (found["1" * 64]["runtime"], found["1" * 64]["stale"]) == ("executorch", None)
    assert 290 <= found[own]["size_kb"] <= 400
    assert checkup["android"]["models_kb"] >= 97
    assert any(f"pocketnas runner clean -d {phone.serial}" in note for note in checkup["notes"])


def test_phones_out_of_reach_are_not_fit(
    pocketnas: Caller, adb_server: AdbServer, start_phone: StartPhone, tmp_path: Path
) -> None:
    stranger, old = start_phone(keys=[]), start_phone(properties={"ro.build.version.sdk": "25"})
    adb_server.connect(old)
    adb_server.adb("connect", stranger.serial, check=False)
    config = config_with(tmp_path / "mine.toml", {"far": "tcp:127.0.0.1:1"})
    said = pocketnas.json("doctor", "--config", config, status=1)
    local, *phones = said["devices"]
    assert local["fit"]
    found = {checkup["device"]["id"]: reasons(checkup) for checkup in phones}
    assert list(found[stranger.serial]) == ["unauthorized"]
    assert list(found[old.serial]) == ["unsupported"]
    assert list(found["tcp:127.0.0.1:1"]) == ["unreachable"]
    assert not any(reason["tolerable"] for kinds in found.values() for reason in kinds.values())
    done = pocketnas("doctor", "-d", "far", "-c", config)
    assert done.status == 1
    assert done.out.splitlines()[0] == "tcp:127.0.0.1:1 (far): unreachable, transport network"


def test_this_machine(pocketnas: Caller) -> None:
    said = pocketnas.json("doctor", "-d", "local")
    (checkup,) = said["devices"]
    system = checkup["system"]
    assert checkup["android"] is None
    assert 0 <= system["stolen_percent"] <= 100
    assert system["load_1min"] >= 0
    assert sum(len(cluster["cores"]) for cluster in system["clusters"]) == os.cpu_count()
    assert [runner["state"] for runner in checkup["runners"]] == ["buildable", "buildable"]
    assert said["host"]["adb_version"]
    assert said["host"]["adb_shell_version"]
    done = pocketnas("doctor", "-d", "local")
    assert "local is fit to measure" in done.out.splitlines()
    assert "by the hypervisor" in done.out


def test_without_a_compiler_nothing_can_be_measured(pocketnas: Caller, tmp_path: Path) -> None:
    adb = tmp_path / "adb"
    adb.write_text("#!/bin/sh\necho 'List of devices attached'\n")
    adb.chmod(0o755)
    said = pocketnas.but(ADB=str(adb), CXX="no-such-compiler", CXX_ARM64_V8A="no-such-compiler").json(
        "doctor", "-d", "local", status=1
    )
    (checkup,) = said["devices"]
    missing = reasons(checkup)["no-runner"]
    assert "no-such-compiler" in missing["remedy"]
    assert not missing["tolerable"]
    assert said["host"]["arm64_compiler"] is None


def test_without_adb_this_machine_is_examined_still(pocketnas: Caller) -> None:
    without = pocketnas.but(ADB="/nonexistent/adb")
    done = without("doctor")
    assert done.status == 0
    assert done.err == "phones cannot be looked for: the adb /nonexistent/adb cannot be started: it is no program\n"
    assert "local is fit to measure" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-d nobody", "unknown device 'nobody'"),
        ("-d tcp:nowhere", "'tcp:nowhere' is no address"),
        ("-d $(reboot)", "'$(reboot)' is no device: give an adb serial"),
        ("-d local --restore", "this machine has neither a lock nor settings to put back"),
        ("-d local --unlock", "this machine has neither a lock nor settings to put back"),
        ("--restore", "no phone is attached"),
        ("--config none.toml", "config none.toml does not exist"),
    ],
)
def test_what_is_no_device_is_refused_with_status_2(pocketnas: Caller, words: str, message: str) -> None:
    done = pocketnas("doctor", *words.split())
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"pocketnas: {message}")


def over_tcp(phone: Lookalike, key: AdbKey) -> PhoneTransport:
    """Another host's way to the phone."""
    keys = {"ADB_VENDOR_KEYS": str(key.private), "HOME": "/nonexistent"}
    channel = AdbShellChannel(
        "another host's phone", lambda: TcpSocket(phone.host, phone.port), keys=lambda: adb_keys(keys)
    )
    return PhoneTransport(channel)
