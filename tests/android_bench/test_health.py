"""The state of a device, from recorded files."""

from android_bench.health import from_files, snapshot
from android_bench.local import LocalTransport
from android_bench.parsers.zones import ZoneTemperature

CPU = "/sys/devices/system/cpu"
ZONES = "/sys/class/thermal/thermal_zone"


def test_everything_that_can_be_read_is_read() -> None:
    health = from_files(
        {
            "/proc/loadavg": "0.25 0.18 0.16 1/85 4726",
            "/proc/stat": "cpu  2 3\ncpu0 10 1 2 100 5 3 4 6 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nprocs_running 3\n",
            "/proc/sys/kernel/random/boot_id": "85166c28-89ef-4b68-ab43-72272525ff65",
            "/proc/pressure/cpu": "some avg10=0.00 avg60=1.00 avg300=14.28 total=512\nfull total=0",
            f"{CPU}/cpu1/cpufreq/scaling_governor": "schedutil",
            f"{CPU}/cpu1/cpufreq/scaling_max_freq": "2400000",
            f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "1800000",
            f"{ZONES}0/type": "cpu-0-0",
            f"{ZONES}0/temp": "41500",
        }
    )
    assert (health.load_1min, health.runnable) == (0.25, 3)
    assert health.boot_id == "85166c28-89ef-4b68-ab43-72272525ff65"
    first, second = health.cores
    assert (first.number, first.busy_ticks, first.steal_ticks, first.idle_ticks) == (0, 20, 6, 105)
    assert first.governor is None
    assert health.cpu_stalled_us == 512
    assert (second.governor, second.max_freq_khz, second.cur_freq_khz) == ("schedutil", 2_400_000, 1_800_000)
    assert health.temperatures == (ZoneTemperature("cpu-0-0", 41.5),)


def test_what_cannot_be_read_is_none_and_never_guessed() -> None:
    health = from_files({f"{CPU}/cpu0/cpufreq/scaling_governor": "", "/proc/loadavg": "x"})
    assert (health.boot_id, health.load_1min, health.runnable, health.cpu_stalled_us) == (None, None, None, None)
    (core,) = health.cores
    assert (core.governor, core.busy_ticks, core.steal_ticks) == (None, None, None)
    assert health.temperatures == ()


def test_sensors_that_have_no_reading_are_left_out() -> None:
    files = {f"{ZONES}0/temp": "-99900", f"{ZONES}1/temp": "", f"{ZONES}2/temp": "25000", f"{ZONES}2/type": ""}
    assert from_files(files).temperatures == (ZoneTemperature("thermal_zone2", 25.0),)


def test_this_machine_has_a_state() -> None:
    health = snapshot(LocalTransport(), android=False)
    assert health.boot_id
    assert health.load_1min is not None
    assert health.cores
    assert health.cores[0].busy_ticks is not None
