"""The thin VGG16."""

import numpy as np
import pytest
from keras import layers

from cxrkit import networks as models


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]


def test_the_thin_network_has_vgg16s_convolutions_at_a_fraction_of_the_width():
    thin = convolutions(models.thin_vgg(["a"], input_size=32, width=8))
    full = convolutions(models.build("VGG16", input_size=32))
    assert [layer.name for layer in thin] == [layer.name for layer in full]
    assert [layer.filters * 8 for layer in thin] == [layer.filters for layer in full]


def test_normalisation_follows_each_convolution_when_asked_for():
    names = [layer.name for layer in models.thin_vgg(["a"], input_size=32, width=2, batch_norm=True).layers]
    normalised = [name for name in names if name.endswith("_norm")]
    assert [name.removesuffix("_norm") for name in normalised] == [
        name for name in names if "conv" in name and name.count("_") == 1
    ]
    assert len(normalised) == 13


def test_the_thin_network_answers_each_label_and_has_maps():
    model = models.thin_vgg(["a", "b"], input_size=32, width=2)
    films = np.zeros((3, 32, 32, 1), np.float32)
    assert model(films).shape == (3, 2)
    assert models.with_maps(model)(films)["maps"].shape == (3, 1, 1, 2)


def test_an_input_that_cannot_be_pooled_five_times_is_refused():
    with pytest.raises(ValueError, match="input_size must be at least 32 pixels, for five poolings; got 31"):
        models.thin_vgg(["a"], input_size=31)
