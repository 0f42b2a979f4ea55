"""One process of a training, as tests/test_train_findings.py starts it; KERAS_BACKEND names its backend.

python train_worker.py MANIFEST OUT '{"machines": [...], "this": 0, "kill_in": [epoch, step], ...}'
"""

import json
import os
import signal
import sys

import keras
from keras import layers

from cxrkit import train
from cxrkit.labels import FINDINGS

SIZE_PX = 32


def network() -> keras.Model:
    """Build a network whose result depends on neither other images of a batch nor chance."""
    films = keras.Input((SIZE_PX, SIZE_PX, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=2, activation="relu")(films))
    return keras.Model(films, layers.Dense(len(FINDINGS), activation="sigmoid")(x))


def main(manifest: str, out: str, options: dict) -> None:
    """Train, perhaps dying in the middle of an epoch."""
    if cpus := options.get("logical_cpus"):
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpus)
    devices = train.devices(options.get("cards", 1), machines=options.get("machines", ()), this=options.get("this"))
    make = train.Batches.__getitem__

    def kill(self, number):
        """End this process as a crash does, when it makes the batch of `kill_in`: epoch and step, both from 0."""
        if [self.epoch, number] == options.get("kill_in"):
            os.kill(os.getpid(), signal.SIGKILL)
        return make(self, number)

    train.Batches.__getitem__ = kill
    settings = train.Settings(size_px=SIZE_PX, batch_size=8, epochs=3, learning_rate=0.01, loss="weighted")
    train.findings(manifest, out, settings, devices=devices, network=network, cache=f"{out}/films")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
