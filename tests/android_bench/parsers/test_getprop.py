"""Who a phone is."""

import pytest
from device_samples import GETPROP, GETPROP_ANDROID_9
from hypothesis import given
from hypothesis import strategies as st

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.getprop import PhoneIdentity, identity, parse_getprop, parse_identity

KEYS = st.text(st.characters(exclude_characters="[]", exclude_categories=["Z", "C"]), min_size=1, max_size=20)
# A later line of a value that looks like a property cannot be told from one.
VALUES = st.text(st.characters(exclude_characters="[\r", exclude_categories=["Cs"]), max_size=50)


def test_phone_is_identified() -> None:
    assert parse_identity(GETPROP) == PhoneIdentity(
        fingerprint="samsung/dm1qxxx/dm1q:14/UP1A.231005.007/S911BXXU3CXD3:user/release-keys",
        sdk=34,
        release="14",
        manufacturer="samsung",
        brand="samsung",
        model="SM-S911B",
        soc="SM8550",
        soc_manufacturer="QTI",
        abis=("arm64-v8a", "armeabi-v7a", "armeabi"),
        build_type="user",
        is_emulator=False,
        debuggable=False,
    )


def test_phone_older_than_android_12_has_its_platform_for_a_chip() -> None:
    phone = parse_identity(GETPROP_ANDROID_9)
    assert (phone.soc, phone.soc_manufacturer, phone.sdk, phone.debuggable) == ("msm8998", None, 28, None)


def test_chip_that_is_unknown_or_empty_is_named_after_the_hardware() -> None:
    properties = {"ro.soc.model": "UNKNOWN", "ro.board.platform": "", "ro.hardware": "walleye"}
    assert identity(properties).soc == "walleye"


def test_value_of_several_lines_is_one_value() -> None:
    properties = parse_getprop(GETPROP)
    assert properties["persist.sys.boot.reason.history"].split("\n") == [
        "reboot,1764830000",
        "shutdown,userrequested,1764820000",
        "reboot,ota,1764810000",
    ]
    assert properties["sys.empty"] == ""
    assert len(properties) == 18


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5))
def test_properties_survive_the_trip(properties: dict[str, str]) -> None:
    assert parse_getprop("".join(f"[{key}]: [{value}]\n" for key, value in properties.items())) == properties


def test_warnings_of_the_linker_before_the_list_are_passed_over() -> None:
    assert parse_getprop("WARNING: linker: unused DT entry\n[a]: [b]\n") == {"a": "b"}


@pytest.mark.parametrize("key", ["ro.kernel.qemu", "ro.boot.qemu"])
def test_emulator_is_recognised(key: str) -> None:
    assert identity({key: "1"}).is_emulator
    assert not identity({key: "0"}).is_emulator


def test_what_is_not_stated_is_none() -> None:
    phone = identity({"ro.build.version.sdk": "Tiramisu", "ro.debuggable": "maybe", "ro.product.cpu.abilist": ""})
    assert (phone.fingerprint, phone.sdk, phone.debuggable, phone.soc, phone.abis) == (None, None, None, None, ())


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "there is no property"),
        ("/system/bin/sh: getprop: not found\n", "there is no property"),
        ("[ro.a]: [1]\n[ro.b]: [2", "the value of 'ro.b' has no end"),
        ("[ro.a]: [1]\nerror: closed\n", "the value of 'ro.a' has no end"),
    ],
)
def test_what_is_no_list_of_properties_is_refused(output: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        parse_getprop(output)
