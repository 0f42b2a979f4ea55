"""What a recipe can be made of: operations, their parameters, and what each may be set to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """Values of which one is drawn, each as likely as the others.

    Args:
        values: at least one number.
    """

    values: tuple[float, ...]

    def __repr__(self) -> str:
        return repr(list(self.values))


@dataclass(frozen=True)
class Parameter:
    """One thing of an operation that can be set.

    Args:
        name: as imgaug calls it.
        doc: one line.
        low, high: the legal range, both ends in it; None for one of `options`.
        default: what a fresh operation begins with: a value, or a range (low, high).
        step: of a slider.
        unit: of the value.
        whole: only whole numbers.
        drawn: may be a range or a choice, from which a value is drawn for each film; else one value.
        options: the only legal values, where they are few.
        left_out: what holds when it is not given; None: it must be given.
    """

    name: str
    doc: str
    low: float | None
    high: float | None
    default: "float | str | tuple[float, float]"
    step: float = 0.01
    unit: str = ""
    whole: bool = False
    drawn: bool = True
    options: tuple[float | str, ...] = ()
    left_out: float | str | None = None


@dataclass(frozen=True)
class Operation:
    """Something that is done to a film.

    Args:
        name: as imgaug calls it.
        doc: one line.
        parameters: in imgaug's order.
        each_pixel: every pixel is drawn for itself.
    """

    name: str
    doc: str
    parameters: tuple[Parameter, ...] = ()
    each_pixel: bool = False

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by name.

        Args:
            name: which.
        Raises:
            ValueError: the operation has none of that name.
        """
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        known = ", ".join(parameter.name for parameter in self.parameters) or "no parameters"
        raise ValueError(f"{self.name} has {known}; got {name!r}.")


def _noise(kind: str) -> tuple[Parameter, ...]:
    return (Parameter("scale", f"{kind} of what is added to a pixel", 0, 255, (0, 7.65), 0.05, "grey levels"),)


_LIST = (
    Operation("Noop", "Leaves the film as it is."),
    Operation(
        "Fliplr",
        "Mirrors the film, left to right.",
        (Parameter("p", "how often", 0, 1, 0.5, 0.05, "probability", drawn=False),),
    ),
    Operation(
        "Add",
        "Adds the same to every pixel.",
        (Parameter("value", "what is added; rounded to a whole number", -255, 255, (-20, 20), 1, "grey levels"),),
    ),
    Operation(
        "AdditiveGaussianNoise",
        "Adds Gaussian noise, drawn for each pixel.",
        _noise("standard deviation"),
        each_pixel=True,
    ),
    Operation(
        "AdditiveLaplaceNoise",
        "Adds Laplace noise, drawn for each pixel: more pixels far off than with Gaussian noise.",
        _noise("decay (standard deviation divided by the root of 2)"),
        each_pixel=True,
    ),
    Operation(
        "Multiply",
        "Multiplies every pixel by the same.",
        (Parameter("mul", "by how much", 0, 10, (0.5, 1.5), 0.01, "factor"),),
    ),
    Operation(
        "MultiplyElementwise",
        "Multiplies each pixel by a factor of its own.",
        (Parameter("mul", "by how much", 0, 10, (0.5, 1.5), 0.01, "factor"),),
        each_pixel=True,
    ),
    Operation(
        "SaltAndPepper",
        "Replaces pixels by mostly black or white ones.",
        (Parameter("p", "how many", 0, 1, 0.05, 0.01, "fraction of pixels"),),
        each_pixel=True,
    ),
    Operation(
        "Sharpen",
        "Mixes the film with its sharpened version.",
        (
            Parameter("alpha", "0 is the film alone, 1 the sharpened version alone", 0, 1, (0.0, 0.2), 0.01, "share"),
            Parameter("lightness", "of the sharpened version; 1 keeps it", 0, 10, (0.75, 1.25), 0.05, left_out=1.0),
        ),
    ),
    Operation(
        "GammaContrast",
        "Raises grey levels, as parts of white, to a power.",
        (Parameter("gamma", "the power; above 1 darkens", 0, 10, (0.7, 1.3), 0.01, "exponent"),),
    ),
    Operation(
        "LinearContrast",
        "Stretches grey levels about the middle, 127.",
        (Parameter("alpha", "by how much; 1 changes nothing", 0, 10, (0.75, 1.33), 0.01, "factor"),),
    ),
    Operation(
        "GaussianBlur",
        "Blurs with a Gaussian.",
        (Parameter("sigma", "standard deviation of the Gaussian", 0, 50, (0.0, 2.5), 0.1, "pixels"),),
    ),
    Operation(
        "Affine",
        "Turns, scales, moves and shears the film about its middle.",
        (
            Parameter("scale", "above 1 enlarges", 0.1, 10, (0.9, 1.1), 0.01, "factor", left_out=1.0),
            Parameter("translate_x", "to the right", -1, 1, (-0.05, 0.05), 0.01, "of the width", left_out=0.0),
            Parameter("translate_y", "down", -1, 1, (-0.05, 0.05), 0.01, "of the height", left_out=0.0),
            Parameter("rotate", "clockwise", -180, 180, (-8, 8), 1, "degrees", left_out=0.0),
            Parameter("shear", "along the width", -60, 60, 0.0, 1, "degrees", left_out=0.0),
            Parameter(
                "order",
                "how pixels are interpolated: 0 nearest, 1 linear, 3 cubic",
                None,
                None,
                1,
                drawn=False,
                whole=True,
                options=(0, 1, 3),
                left_out=1,
            ),
            Parameter(
                "cval", "what lies outside where mode is constant", 0, 255, 0, 1, "grey level", False, False, (), 0
            ),
            Parameter(
                "mode",
                "what lies outside the film",
                None,
                None,
                "reflect",
                drawn=False,
                options=("constant", "edge", "symmetric", "reflect", "wrap"),
                left_out="constant",
            ),
        ),
    ),
    Operation("AllChannelsHistogramEqualization", "Spreads grey levels so that all are as common."),
    Operation(
        "AllChannelsCLAHE",
        "Spreads grey levels tile by tile, with a limit (contrast-limited adaptive histogram equalization).",
        (
            Parameter("clip_limit", "how far contrast may rise", 0.1, 100, (0.5, 4.0), 0.1),
            Parameter("tile_grid_size_px", "tiles along each side", 3, 64, (4, 12), 1, "tiles", True, left_out=8),
        ),
    ),
    Operation(
        "Cutout",
        "Fills squares with one grey level.",
        (
            Parameter("nb_iterations", "how many", 0, 20, (1, 3), 1, "squares", True, left_out=1),
            Parameter("size", "side of a square", 0, 1, (0.1, 0.25), 0.01, "of the height", left_out=0.2),
            Parameter("cval", "what fills it", 0, 255, (0, 255), 1, "grey level", left_out=128),
        ),
    ),
)

#: Every operation by name; names and parameters are imgaug's.
OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _LIST}
