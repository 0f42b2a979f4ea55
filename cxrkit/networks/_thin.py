"""A thin VGG16 that trains in seconds."""

from collections.abc import Sequence

import keras
from keras import layers

from cxrkit.networks._backbones import with_head

#: VGG16's blocks, as (number of convolutions, width relative to the first block).
_BLOCKS = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
#: VGG16 subtracts ImageNet's mean of each channel; for a grey image this is the mean of the three.
_IMAGENET_MEAN = 114.8


def thin_vgg(
    labels: Sequence[str],
    *,
    input_size: int = 64,
    width: int = 16,
    batch_norm: bool = False,
    initializer: str = "glorot_uniform",
) -> keras.Model:
    """Build VGG16's thirteen convolutions, with fewer channels and the head of all networks here.

    Args:
        labels: names of the outputs, in order.
        input_size: side of the square input, pixels, at least 32.
        width: channels of the first block; VGG16 has 64.
        batch_norm: normalise after each convolution; VGG16 (2014) does not.
        initializer: of the convolutions, a name of Keras: "glorot_uniform" is Keras' default, "he_normal" keeps the
            variance of activations through ReLUs (He et al. 2015, arXiv:1502.01852).
    Returns:
        A functional model with random weights, (N, input_size, input_size, 1) in [0, 1] -> (N, labels).
    Raises:
        ValueError: an input too small for five poolings.
    Source:
        Simonyan and Zisserman 2014, arXiv:1409.1556, table 1, column D.
    """
    if input_size < 32:
        raise ValueError(f"input_size must be at least 32 pixels, for five poolings; got {input_size}.")
    films = keras.Input((input_size, input_size, 1), name="films")
    x = layers.Rescaling(255.0, -_IMAGENET_MEAN, name="preprocess")(films)
    for block, (count, factor) in enumerate(_BLOCKS, start=1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(
                width * factor, 3, padding="same", kernel_initializer=initializer, use_bias=not batch_norm, name=name
            )(x)
            if batch_norm:
                # Keras' momentum of 0.99 needs hundreds of steps to forget the initial statistics; an epoch of the
                # course has twelve.
                x = layers.BatchNormalization(momentum=0.7, name=f"{name}_norm")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return with_head(films, x, labels, "sigmoid", name="thin_vgg")
