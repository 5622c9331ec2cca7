"""Deterministic inputs, and numbers that the authors' or well-known public code gave for them in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def det(rows: int, columns: int, phase: float) -> Tensor:
    """`sin(0.7 i + 1.3 j + k) + 0.25 cos(1.9 i (j + 1) + k)`."""
    i = torch.arange(rows, dtype=torch.float64)[:, None]
    j = torch.arange(columns, dtype=torch.float64)[None, :]
    return torch.sin(0.7 * i + 1.3 * j + phase) + 0.25 * torch.cos(1.9 * i * (j + 1) + phase)


#: of det(8, 6, 0) and det(8, 6, 1), by pytorch-adapt
CORAL = 0.0034854506119305303
#: the same by Transfer-Learning-Library, which adds the mean squared difference of the means and omits the 1/4
CORAL_TLL = 0.02465066160102717
#: vectors det(8, 6, 0) recoloured as det(8, 6, 1), not centred, with the identity as ridge: norm and first row, by transferlearning
RECOLOURED_NORM = 4.9987543824248215
RECOLOURED_ROW_0 = [
    0.20196346334144383,
    1.1211547500011843,
    0.6362815965267141,
    -0.3906785792482528,
    -0.5892239051119768,
    0.4588710814074931,
]
#: TCA of det(8, 6, 0) and det(9, 6, 1), three components, mu 1, gamma 1, by the lines of transferlearning's `TCA.fit`: the least
#: eigenvalues, and the distances of unit z of the first source vector to the first three of the target, and the norm of all
TCA = {
    "primal": (
        [0.10920434108972303, 0.15384410072363988, 4.239795129470421],
        [0.9084003144286918, 1.3120334867266106, 1.7621322620302091, 12.01706249945997],
    ),
    "linear": (
        [0.01191805559637461, 0.03298397790151731, 17.964526871662798],
        [0.8460692949875029, 1.1844119386945102, 1.7226004335942622, 12.013691609533325],
    ),
    "rbf": (
        [0.06649589040978353, 0.1207839938954418, 0.4264487129076417],
        [0.9576925780635405, 1.3511258290487433, 1.7303669907080308, 12.000755124290759],
    ),
}
#: of det(9, 6, 0), labels i mod 3, and det(9, 6, 1), three components, mu 1, by the lines of transferlearning's `BDA.fit_predict`:
#: pseudo-labels of both rounds; of each row of (b, weighted) the least eigenvalues of the second round, and the norm of the distances
BDA_GUESSES = [2, 2, 0, 1, 0, 1, 2, 2, 0]
BDA = {
    (0.5, False): ([0.11992734011922312, 0.1749905950387164, 4.330584399752637], 12.725407791551664),
    (0.8, False): ([0.12061385265211898, 0.1903430725521712, 4.3557410580499765], 12.725335444645435),
    (1.0, True): ([0.11875989111030699, 0.1929501214413958, 4.336358426213668], 12.72525761076624),
}
#: of softmax(det(7, 5, 0.1)) and softmax(det(7, 5, 0.9)), by Transfer-Learning-Library
MCD_DISCREPANCY = 0.09556187066496429
MCD_CLASS_BALANCE = 1.6277025431010876
#: embeddings det(20, 6, 0.15), logits 2 det(20, 5, 0.35), batch the first 8, K = 3, M = 2; the repository's executed block
NRC_GRADIENT_NORM = 0.08318735899116717
NRC_GRADIENT_ROW_0 = [0.015398983132891998, -0.02969701342187408, 0.009392692285483673, 0.0021069198569738045, 0.0027984181465245585]
NRC_NEAR_ROW_0 = [18, 9, 1]
NRC_EXPANDED_ROW_0 = [[9, 0], [18, 17], [19, 10]]
NRC_WEIGHT_ROW_0 = [1.0, 0.1, 0.1]
#: the formula evaluated (not the repository's value, which holds the constants of its kl_div)
NRC_VALUE = -2.5665955260665085
#: squared MMD of det(8, 6, 0) and det(8, 6, 1): transferlearning's five Gaussian kernels (factor 2, biased), and its linear one
MMD_GAUSSIAN = 0.1418171270173776
MMD_LINEAR = 0.06425315491983032
#: of det(8, 6, 0) and det(8, 6, 1) with the discriminator sigmoid(h . det(1, 6, 0.5)[0]), by Transfer-Learning-Library
DANN = 1.1398612899451313
#: with the logits det(8, 5, 0.2) and det(8, 5, 0.7) and sigmoid(T . 0.2 det(1, 30, 0.4)[0]); +E: its entropy has 1e-5 in the logarithm
CDAN = 0.6996619507717207
CDAN_E = 0.6999523205715769
#: of det(6, 5, 0.3) at length 1 with the labels 0 0 1 1 2 0, by SupContrast; temperature and base temperature are equal
SUPCON = {0.07: 7.776905816252046, 0.1: 5.49071058436223}
#: p_1, p_2, z_1, z_2 = det(7, 6, 0 / 0.1 / 0.2 / 0.3), by the formulas of the repositories
SIMSIAM = -0.9740843601697238
BYOL = 0.1036625593211052
#: of four heads log_softmax(1.5 det(6, 5, 0.1 k)), temperature 0.5, lambda 1, by THUDM/GRAND
GRAND_CONSISTENCY = 0.055159156305982615
#: AaD of the inputs of NRC, K = 3, alpha = 1, by the repository's executed block, and the formula evaluated
AAD_GRADIENT_NORM = 0.14504817461628272
AAD_GRADIENT_ROW_0 = [0.034660461147213106, -0.06916723189245287, 0.02136707874082951, 0.005817135852135157, 0.007322556152275095]
AAD_VALUE = -0.01538506276139695
#: pseudo-labels of the same embeddings and logits, by SHOT's `obtain_label`; two differ from the largest logit
SHOT_LABELS = [1, 0, 0, 4, 4, 3, 3, 2, 2, 1, 0, 0, 4, 4, 3, 3, 2, 1, 1, 0]
#: MMD of det(8, 6, 0) and det(8, 6, 1) by Transfer-Learning-Library: kernels 2^-3 .. 2^1, its constant 2 / (n - 1) included
MMD_TLL = -0.2982881887400298
