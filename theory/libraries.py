"""The libraries: proximal maps with the regularizers of the literature, and transforms, one declaration each.

erf is a transform only: as a proximal map its regularizer has no closed form (`theory.proximal` still
evaluates it), so there is nothing of the literature to test it against.
"""

from __future__ import annotations

from theory.declarations import ProxEntry, TransformEntry

_SS = "2*sigmoid(beta*x)*(1 + beta*x*(1 - sigmoid(beta*x))) - 1"
_SS_PRIME = "beta*(2 - beta*x*tanh(beta*x/2))/(1 + cosh(beta*x))"

PROXES = (
    ProxEntry(
        name="identity",
        title="identity",
        source="r = 0",
        prox="x",
        regularizer="0",
        params={},
        convex=True,
    ),
    ProxEntry(
        name="binary projection",
        title="projection onto {-1, 1}",
        source="Courbariaux et al. 2015, arXiv:1511.00363",
        prox="sign(x)",
        regularizer="Piecewise((0, Abs(x) == 1), (oo, True))",
        params={},
        convex=False,
    ),
    ProxEntry(
        name="ternary projection",
        title="projection onto {-1, 0, 1}",
        source="Li et al. 2016, arXiv:1605.04711",
        prox="Piecewise((-1, x < -1/2), (0, x <= 1/2), (1, True))",
        regularizer="Piecewise((0, x == -1), (0, x == 0), (0, x == 1), (oo, True))",
        params={},
        convex=False,
    ),
    ProxEntry(
        name="box",
        title="projection onto [-1, 1]",
        source="Moreau 1965",
        prox="clip(x, -1, 1)",
        regularizer="Piecewise((0, Abs(x) <= 1), (oo, True))",
        params={},
        convex=True,
    ),
    ProxEntry(
        name="soft threshold",
        title="soft threshold",
        source="Donoho and Johnstone 1994",
        prox="sign(x)*Max(Abs(x) - weight, 0)",
        regularizer="weight*Abs(x)",
        params={"weight": "1/2"},
        convex=True,
    ),
    ProxEntry(
        name="hard threshold",
        title="hard threshold",
        source="Donoho and Johnstone 1994",
        prox="Piecewise((0, Abs(x) <= level), (x, True))",
        regularizer="Piecewise((0, x == 0), (level**2/2, True))",
        params={"level": "1"},
        convex=False,
    ),
    ProxEntry(
        name="BinaryRelax",
        title="BinaryRelax",
        source="Yin et al. 2018, arXiv:1801.06313",
        prox="(1 - theta)*x + theta*sign(x)",
        regularizer="theta/(1 - theta)*(Abs(x) - 1)**2/2",
        params={"theta": "1/2"},
        convex=False,
    ),
    ProxEntry(
        name="tanh",
        title="tanh (binary entropy less a quadratic)",
        source="Ajanthan et al. 2021, arXiv:1910.08237",
        prox="tanh(x)",
        regularizer="Piecewise((((1 + x)*log(1 + x) + (1 - x)*log(1 - x))/2 - x**2/2, Abs(x) < 1), "
        "(log(2) - 1/2, Abs(x) == 1), (oo, True))",
        params={},
        convex=True,
    ),
    ProxEntry(
        name="softsign",
        title="softsign",
        source="derived: r' = x/(1 - |x|) - x",
        prox="x/(1 + Abs(x))",
        regularizer="Piecewise((-Abs(x) - log(1 - Abs(x)) - x**2/2, Abs(x) < 1), (oo, True))",
        params={},
        convex=True,
    ),
    ProxEntry(
        name="elastic net",
        title="elastic net",
        source="Zou and Hastie 2005",
        prox="sign(x)*Max(Abs(x) - weight, 0)/(1 + ridge)",
        regularizer="weight*Abs(x) + ridge*x**2/2",
        params={"weight": "1/2", "ridge": "1"},
        convex=True,
    ),
    ProxEntry(
        name="finite projection",
        title="projection onto {-1, -1/4, 1/2, 2}, unevenly spaced",
        source="nearest point; ties go down",
        prox=("Piecewise((-1, x <= -5/8), (-1/4, x <= 1/8), (1/2, x <= 5/4), (2, True))"),
        regularizer=("Piecewise((0, x == -1), (0, x == -1/4), (0, x == 1/2), (0, x == 2), (oo, True))"),
        params={},
        convex=False,
    ),
    ProxEntry(
        name="firm threshold",
        title="firm threshold (minimax concave penalty)",
        source="Gao and Bruce 1997; Zhang 2010",
        prox=(
            "sign(x)*Piecewise((0, Abs(x) <= weight), (shape/(shape - 1)*(Abs(x) - weight), Abs(x) < "
            "shape*weight), (Abs(x), True))"
        ),
        regularizer=("Piecewise((weight*Abs(x) - x**2/(2*shape), Abs(x) <= shape*weight), (shape*weight**2/2, True))"),
        params={"weight": "1/2", "shape": "3"},
        convex=False,
    ),
    ProxEntry(
        name="SCAD",
        title="smoothly clipped absolute deviation",
        source="Fan and Li 2001",
        prox=(
            "sign(x)*Piecewise((Max(Abs(x) - weight, 0), Abs(x) <= 2*weight), (((shape - 1)*Abs(x) - "
            "shape*weight)/(shape - 2), Abs(x) < shape*weight), (Abs(x), True))"
        ),
        regularizer=(
            "Piecewise((weight*Abs(x), Abs(x) <= weight), ((2*shape*weight*Abs(x) - x**2 - "
            "weight**2)/(2*(shape - 1)), Abs(x) < shape*weight), (weight**2*(shape + 1)/2, True))"
        ),
        params={"weight": "1/2", "shape": "3"},
        convex=False,
    ),
    ProxEntry(
        name="W-shape",
        title="W-shape: the distance to {-1, 1}",
        source="Bai, Wang, Liberty 2019, arXiv:1810.00861",
        prox=(
            "sign(x)*Piecewise((Abs(x) + weight, Abs(x) < 1 - weight), (1, Abs(x) <= 1 + weight), "
            "(Abs(x) - weight, True))"
        ),
        regularizer=("weight*Abs(Abs(x) - 1)"),
        params={"weight": "1/4"},
        convex=False,
    ),
    ProxEntry(
        name="PAR",
        title="piecewise-affine regularizer with levels 0, 1/2, 1",
        source="Jin et al. 2025, arXiv:2503.15748",
        prox=(
            "sign(x)*Piecewise((0, Abs(x) <= 1/4), (Abs(x) - 1/4, Abs(x) < 3/4), (1/2, Abs(x) <= 1), "
            "(Abs(x) - 1/2, Abs(x) < 3/2), (1, True))"
        ),
        regularizer=("Piecewise((Abs(x)/4, Abs(x) <= 1/2), (Abs(x)/2 - 1/8, Abs(x) <= 1), (oo, True))"),
        params={},
        convex=True,
    ),
    ProxEntry(
        name="horizontal and vertical",
        title="piecewise-linear family on {-1, 1}",
        source="Dockhorn et al. 2021, arXiv:2110.13220; regularizer derived",
        prox=(
            "sign(x)*Piecewise((vertical + (1 - vertical)/(1 - horizontal)*Abs(x), Abs(x) < 1 - horizontal), (1, True))"
        ),
        regularizer=(
            "Piecewise((oo, Abs(x) < vertical), ((1 - horizontal)/(1 - vertical)*(Abs(x) - "
            "vertical)**2/2 - x**2/2, Abs(x) <= 1), (oo, True))"
        ),
        params={"horizontal": "1/4", "vertical": "1/4"},
        convex=False,
    ),
    ProxEntry(
        name="arctan",
        title="arc tangent",
        source="derived: r' = tan(x) - x",
        prox=("atan(x)"),
        regularizer=("Piecewise((-log(cos(x)) - x**2/2, Abs(x) < pi/2), (oo, True))"),
        params={},
        convex=True,
    ),
    ProxEntry(
        name="x/sqrt(1+x^2)",
        title="x/sqrt(1 + x^2)",
        source="derived: r' = x/sqrt(1 - x^2) - x",
        prox=("x/sqrt(1 + x**2)"),
        regularizer=("Piecewise((-sqrt(1 - x**2) - x**2/2, Abs(x) <= 1), (oo, True))"),
        params={},
        convex=True,
    ),
)
"""Every proximal map."""

TRANSFORMS = (
    TransformEntry(
        name="identity", title="identity", source="-", transform="x", derivative="1", params={}, smooth=True
    ),
    TransformEntry(
        name="clip",
        title="clip to [-1, 1]",
        source="Hubara et al. 2016, arXiv:1602.02830",
        transform="clip(x, -1, 1)",
        derivative="Piecewise((1, Abs(x) < 1), (0, True))",
        params={},
        smooth=False,
    ),
    TransformEntry(
        name="tanh",
        title="tanh",
        source="-",
        transform="tanh(beta*x)",
        derivative="beta*(1 - tanh(beta*x)**2)",
        params={"beta": "1"},
        smooth=True,
    ),
    TransformEntry(
        name="SwishSign",
        title="SwishSign SS",
        source="Darabi et al. 2018, arXiv:1812.11800",
        transform=_SS,
        derivative=_SS_PRIME,
        params={"beta": "5"},
        smooth=True,
    ),
    TransformEntry(
        name="ApproxSign",
        title="primitive of ApproxSign's derivative",
        source="Liu et al. 2018, arXiv:1808.00278",
        transform="Piecewise((-1, x < -1), (2*x + x**2, x < 0), (2*x - x**2, x < 1), (1, True))",
        derivative="Piecewise((2 - 2*Abs(x), Abs(x) < 1), (0, True))",
        params={},
        smooth=True,
    ),
    TransformEntry(
        name="softsign",
        title="softsign",
        source="-",
        transform="x/(1 + Abs(x))",
        derivative="1/(1 + Abs(x))**2",
        params={},
        smooth=True,
    ),
    TransformEntry(
        name="erf",
        title="error function",
        source="-",
        transform="erf(x)",
        derivative="2/sqrt(pi)*exp(-x**2)",
        params={},
        smooth=True,
    ),
    TransformEntry(
        name="leaky clip",
        title="leaky clip",
        source="-",
        transform="clip(x, -1, 1) + leak*(x - clip(x, -1, 1))",
        derivative="Piecewise((1, Abs(x) < 1), (leak, True))",
        params={"leak": "1/10"},
        smooth=False,
    ),
    TransformEntry(
        name="arctan",
        title="arc tangent",
        source="-",
        transform="atan(beta*x)",
        derivative="beta/(1 + beta**2*x**2)",
        params={"beta": "1"},
        smooth=True,
    ),
    TransformEntry(
        name="x/sqrt(1+x^2)",
        title="x/sqrt(1 + x^2)",
        source="-",
        transform="x/sqrt(1 + x**2)",
        derivative="1/(1 + x**2)**(3/2)",
        params={},
        smooth=True,
    ),
    TransformEntry(
        name="cubic smoothstep",
        title="cubic smoothstep from -1 to 1",
        source="Hermite interpolation",
        transform="Piecewise((-1, x < -1), ((3*x - x**3)/2, x < 1), (1, True))",
        derivative="Piecewise((3*(1 - x**2)/2, Abs(x) < 1), (0, True))",
        params={},
        smooth=True,
    ),
    TransformEntry(
        name="quintic smoothstep",
        title="quintic smoothstep from -1 to 1",
        source="Hermite interpolation",
        transform="Piecewise((-1, x < -1), ((15*x - 10*x**3 + 3*x**5)/8, x < 1), (1, True))",
        derivative="Piecewise((15*(1 - x**2)**2/8, Abs(x) < 1), (0, True))",
        params={},
        smooth=True,
    ),
)
"""Every transform."""
