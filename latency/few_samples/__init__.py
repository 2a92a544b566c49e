"""Latency of whole nets from a few measured ones: encode nets, choose which to measure, fit, predict."""

from latency.few_samples.fbnet import encode_fbnet
from latency.few_samples.nasbench201 import encode_nasbench201
from latency.few_samples.nets import Nets
from latency.few_samples.predictor import FewSamplePredictor, Predictions, fit
from latency.few_samples.selection import choose

__all__ = ["FewSamplePredictor", "Nets", "Predictions", "choose", "encode_fbnet", "encode_nasbench201", "fit"]
