"""What a network costs: counted, timed, and nothing of it left behind."""

import os
import subprocess
import sys

import keras
import pytest

from cxrkit import networks as models

# 14,714,688 of the convolutions (Keras' own count), 512 * 14 + 14 of the head.
VGG16_PARAMETERS = 14_714_688 + 7_182


def test_costs_are_those_of_the_network():
    costs = models.costs(["VGG16", "MobileNetV2"], input_size=32, films=1)
    assert costs["network"].tolist() == ["VGG16", "MobileNetV2"]
    vgg, mobile = costs.to_dict("records")
    assert vgg["parameters"] == VGG16_PARAMETERS
    assert vgg["MB"] == pytest.approx(58.88748)
    assert vgg["convolutions"] == 13
    assert mobile["parameters"] == models.build("MobileNetV2", input_size=32).count_params()
    assert (costs["ms per film"] > 0).all()


def test_no_variable_of_a_timed_network_waits_to_be_drawn(monkeypatch):
    def draw(self, *args, **kwargs):
        raise AssertionError("a kernel was drawn")

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", draw)
    models.costs(["VGG16"], input_size=32, films=1)
    # Where such a scope ends, Keras draws what was left without a value.
    with keras.StatelessScope():
        pass


def test_a_backbone_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"backbone must be one of DenseNet121, .*; got 'VGG17'"):
        models.costs(["VGG17"], input_size=32)


def test_costs_are_the_same_on_jax():
    code = (
        "from cxrkit import models; costs = models.costs(['VGG16'], input_size=32, films=1).iloc[0]; "
        "print(costs['parameters'], costs['ms per film'] > 0)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(VGG16_PARAMETERS), "True"]
