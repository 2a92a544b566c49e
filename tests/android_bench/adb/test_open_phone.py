"""A phone as a device: who it is, and what is not even begun."""

import dataclasses
from collections.abc import Callable

import pytest
from device_samples import CPUINFO
from lookalike.cores import Core
from lookalike.fixtures import AdbKey
from lookalike.lookalike import Lookalike
from reaching import tcp_channel

from android_bench import device as devices
from android_bench.adb.phone import open_phone, supported_abi
from android_bench.adb.phone_workspace import PhoneWorkspace
from android_bench.device import Device
from android_bench.parsers.getprop import identity
from android_bench.runner.abi import Abi
from android_bench.runner.elf import elf_abi
from pocketnas_base.artifact import RUNTIMES, Runtime
from pocketnas_base.errors import DeviceError, MissingDependencyError

StartPhone = Callable[..., Lookalike]
ABILIST = "ro.product.cpu.abilist"


@pytest.fixture
def opened(adb_key: AdbKey) -> Callable[[Lookalike], Device]:
    def open_it(phone: Lookalike) -> Device:
        return open_phone(f"tcp:{phone.host}:{phone.port}", channel=tcp_channel(phone, adb_key))

    return open_it


def left_on(phone: Lookalike) -> list[str]:
    return sorted(entry.name for entry in phone.path("/data/local/tmp").iterdir())


def test_a_phone_says_who_it_is(start_phone: StartPhone, opened: Callable[[Lookalike], Device]) -> None:
    phone = start_phone(
        cores=[Core(1_800_000)] * 4 + [Core(2_800_000)] * 3 + [Core(3_000_000)],
        properties={"ro.product.manufacturer": "Google", "ro.product.model": "Pixel 8", "ro.soc.model": "Tensor G3"},
        shown={"/proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd i8mm\n\nprocessor\t: 1\nFeatures\t: fp\n"},
    )
    device = opened(phone)
    info = device.info
    assert device.id == f"tcp:127.0.0.1:{phone.port}"
    assert (info.model, info.soc, info.abi, info.os_version) == (
        "Google Pixel 8",
        "PocketNAS Tensor G3",
        "x86_64",
        "Android 14",
    )
    assert info.cpu_features == ("asimd", "fp", "i8mm")
    assert info.build == "pocketnas/lookalike/lookalike:14/LK1A.240101.001/1:user/release-keys"
    assert info.kernel
    assert [core.max_freq_khz for core in info.cores] == [1_800_000] * 4 + [2_800_000] * 3 + [3_000_000]
    assert device.default_cores(1) == (7,)
    assert device.default_cores(2) == (5, 6)
    assert device.default_cores(4) == (0, 1, 2, 3)
    assert opened(phone).info == info
    assert opened(phone).info.fingerprint == info.fingerprint
    phone.set("prop/ro.build.fingerprint", "other/build")
    assert opened(phone).info.fingerprint != info.fingerprint


def test_cores_of_one_clock_and_two_kinds_are_told_apart(
    start_phone: StartPhone, opened: Callable[[Lookalike], Device]
) -> None:
    cores = [Core(2_016_000)] * 3 + [Core(2_803_000)] * 4 + [Core(3_187_000)]
    device = opened(start_phone(cores=cores, shown={"/proc/cpuinfo": CPUINFO}))
    assert device.info.cpu_features == ("asimd", "fp")
    assert [core.part for core in device.info.cores[2:6]] == ["0x41:0xd46", "0x41:0xd4d", "0x41:0xd4d", "0x41:0xd47"]
    assert device.default_cores(2) == (3, 4)


def test_cores_that_are_offline_are_told_and_not_offered(start_phone: StartPhone, adb_key: AdbKey) -> None:
    phone, told = start_phone(cores=[Core(1_800_000)] * 2 + [Core(2_800_000)] * 2), list[str]()
    for online, expected in (("0-3\n", [0, 1, 2, 3]), ("0-1\n", [0, 1])):
        assert told == []
        phone.path("/sys/devices/system/cpu/online").write_text(online)
        device = open_phone(f"tcp:{phone.host}:{phone.port}", say=told.append, channel=tcp_channel(phone, adb_key))
        assert [core.number for core in device.info.cores] == expected
    (line,) = told
    assert "has cores 2, 3 offline" in line


def test_a_phone_that_hides_its_clocks_is_a_phone(
    start_phone: StartPhone, opened: Callable[[Lookalike], Device]
) -> None:
    phone = start_phone(cores=[Core(1_800_000)] * 2)
    for name in ("cpuinfo_max_freq", "scaling_max_freq", "scaling_min_freq", "scaling_cur_freq", "scaling_governor"):
        phone.path(f"/sys/devices/system/cpu/cpufreq/policy0/{name}").chmod(0)
    assert opened(phone).info.cores == (devices.Core(0, None), devices.Core(1, None))


@pytest.mark.parametrize("abilist", ["armeabi-v7a,armeabi", "x86", "riscv64", ""])
def test_a_phone_that_no_runner_exists_for_is_refused_and_left_untouched(
    start_phone: StartPhone, opened: Callable[[Lookalike], Device], abilist: str
) -> None:
    phone = start_phone(properties={ABILIST: abilist})
    told = abilist.replace(",", ", ") or "it does not say which"
    with pytest.raises(DeviceError, match=f"runs programs for {told}; runners exist for x86_64 and arm64-v8a"):
        opened(phone)
    assert left_on(phone) == []
    assert phone.processes() == []


def test_an_old_phone_is_refused_and_left_untouched(
    start_phone: StartPhone, opened: Callable[[Lookalike], Device]
) -> None:
    phone = start_phone(properties={"ro.build.version.sdk": "25", "ro.build.version.release": "7.1.2"})
    with pytest.raises(DeviceError, match=r"runs Android 7\.1\.2; Android 8 or newer is needed"):
        opened(phone)
    assert left_on(phone) == []


def test_what_has_no_properties_is_no_phone(phone: Lookalike, opened: Callable[[Lookalike], Device]) -> None:
    phone.answer("getprop", "", stderr="sh: getprop: not found\n", status=127)
    with pytest.raises(DeviceError, match="has no getprop: it does not run Android"):
        opened(phone)
    assert left_on(phone) == []


@pytest.mark.parametrize(
    ("abilist", "abi"),
    [
        ("arm64-v8a,armeabi-v7a,armeabi", "arm64-v8a"),
        ("arm64-v8a", "arm64-v8a"),
        ("x86_64,x86,arm64-v8a,armeabi-v7a", "x86_64"),
        ("armeabi-v7a,arm64-v8a,x86_64", "arm64-v8a"),
    ],
)
def test_the_phones_own_abi_is_taken(abilist: str, abi: Abi) -> None:
    assert supported_abi("phone", identity({ABILIST: abilist})) == abi


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_arm64_phone_gets_the_arm64_runner(
    start_phone: StartPhone, opened: Callable[[Lookalike], Device], runtime: Runtime
) -> None:
    phone = start_phone(properties={ABILIST: "arm64-v8a,armeabi-v7a"})
    device = opened(phone)
    assert device.info.abi == "arm64-v8a"
    try:
        installed = device.workspace.install(runtime)
    except MissingDependencyError as missing:
        pytest.skip(str(missing))
    assert installed.abi == "arm64-v8a"
    bundle = phone.path(f"/data/local/tmp/pocketnas/bundles/{installed.sha256}")
    files = [file for file in bundle.rglob("*") if file.is_file() and file.name != "NOTICE"]
    assert len(files) > 4
    assert {elf_abi(file) for file in files} == {"arm64-v8a"}
    done = device.transport.run(
        ("sh", "-c", f"cd /data/local/tmp/pocketnas/bundles/{installed.sha256} && ls"), timeout_s=9
    )
    assert done.stdout.split() == [b"NOTICE", b"lib", b"runner"]


def test_a_runner_is_pushed_once_and_mended_where_it_was_damaged(
    phone: Lookalike, opened: Callable[[Lookalike], Device]
) -> None:
    device = opened(phone)
    assert isinstance(device.workspace, PhoneWorkspace)
    installed = device.workspace.install("tflite")
    bundle = phone.path(f"/data/local/tmp/pocketnas/bundles/{installed.sha256}")
    times = {file: file.stat().st_mtime_ns for file in bundle.rglob("*") if file.is_file()}
    assert device.workspace.install("tflite") == installed
    assert {file: file.stat().st_mtime_ns for file in times} == times
    assert (bundle / "runner").stat().st_mode & 0o777 == 0o755
    damaged = bundle / "lib" / "libLiteRt.so"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (bundle / "runner").unlink()
    assert device.workspace.install("tflite") == installed
    assert damaged.read_bytes() == content
    assert (bundle / "runner").stat().st_mode & 0o777 == 0o755


def test_a_device_is_told_apart_by_what_latency_depends_on(
    phone: Lookalike, opened: Callable[[Lookalike], Device]
) -> None:
    info = opened(phone).info
    others = [
        dataclasses.replace(info, model="x"),
        dataclasses.replace(info, kernel="x"),
        dataclasses.replace(info, build="x"),
        dataclasses.replace(info, cores=info.cores[:1]),
    ]
    assert len({info.fingerprint, *(other.fingerprint for other in others)}) == 5
