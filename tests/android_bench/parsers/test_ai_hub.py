"""Qualcomm AI Hub: the profile of a job."""

import json
from typing import Any

import pytest
from device_samples import AI_HUB

from android_bench.errors import UnreadableOutputError
from android_bench.parsers.ai_hub import AiHubProfile, parse_ai_hub


def changed(**summary: Any) -> str:
    document = json.loads(AI_HUB)
    document["execution_summary"] |= summary
    return json.dumps(document)


def test_every_run_is_read_in_us() -> None:
    assert parse_ai_hub(AI_HUB) == AiHubProfile(3652, (10003, 4205, 3652, 3701, 3688), (("CPU", 1), ("NPU", 2)))


def test_old_profiles_state_an_estimate_alone() -> None:
    old = {"execution_summary": {"estimated_inference_time": 20910, "warm_load_time": None}}
    assert parse_ai_hub(json.dumps(old)) == AiHubProfile(20910, (), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed(estimated_inference_time=3.652), "estimated_inference_time: Input should be a valid integer"),
        (changed(all_inference_times=[3.7, 3.6]), "all_inference_times.0: Input should be a valid integer"),
        (changed(estimated_inference_time=4), "is 4, but all_inference_times are 3652 to 10003: they are not in one"),
        (changed(estimated_inference_time=3_652_000), "they are not in one unit"),
        (changed(estimated_inference_time=0), "greater than 0"),
        (changed(estimated_inference_time=None, all_inference_times=None), "it states no inference time"),
        (changed(all_inference_times=[-1]), "greater than 0"),
        ('{"execution_detail": []}', "execution_summary: Field required"),
        (AI_HUB[:200], "Invalid JSON"),
    ],
)
def test_other_units_and_damage_are_refused(text: str, message: str) -> None:
    with pytest.raises(UnreadableOutputError, match=message):
        parse_ai_hub(text)
