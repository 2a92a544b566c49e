"""Accuracy and latency of one network as one number, the larger the better."""


def mnas_reward(accuracy: float, latency_ms: float, target_ms: float, exponent: float) -> float:
    """accuracy * (target / latency) ** exponent: MnasNet's reward (Tan et al., CVPR 2019, equation 2) as the released
    code of ProxylessNAS writes it. accuracy: a share of 1; the latencies in ms, above 0; exponent: at least 0."""
    return float(accuracy * (target_ms / latency_ms) ** exponent)


def absolute_reward(accuracy: float, latency_ms: float, target_ms: float, beta: float) -> float:
    """accuracy + beta * |latency / target - 1|, beta below 0: TuNAS (Bender et al., CVPR 2020, section 5.1), which is
    greatest at the target, so that a search ends there whatever beta is. accuracy: a share of 1; latencies in ms."""
    return accuracy + beta * abs(latency_ms / target_ms - 1)
