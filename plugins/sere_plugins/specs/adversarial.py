"""Adversarial losses and methods: what they are called and how they are configured."""

from __future__ import annotations

from sere_plugins.specs import Declared, component
from sere_registry import param

_DIAGNOSTICS = {
    "domain_accuracy": "Share of the last batch whose domain the discriminator tells right, each domain counting half; near 0.5 it cannot.",
    "reversal": "How strongly the discriminator's gradient was reversed in the last step.",
}


class AdversaryParams(Declared):
    """Parameters of a discriminator behind a gradient reversal."""

    hidden: int = param(
        1024, "width of the discriminator's hidden layers; as in Transfer-Learning-Library", ge=1, search=("choice", [64, 256, 1024])
    )
    ramp: float = param(
        10.0,
        "a: how early the reversal reaches its full strength, 2 / (1 + exp(-a t)) - 1 at the share t of the stage; the paper's",
        gt=0,
        search=("log", 1.0, 100.0),
    )
    learning_rate: float = param(1.0, "learning rate of the discriminator, as a multiple; ours", gt=0, search=("log", 0.1, 10.0))


@component("dann", "losses.dann:Dann", cite="arXiv:1505.07818", tags=("adversarial",), diagnostics=_DIAGNOSTICS)
class DannParams(AdversaryParams):
    """DANN: a discriminator learns to tell the domains of embeddings apart, and the network to prevent it."""

    use_source: bool = param(True, "the source side is S_l and S_u together; false: S_l alone; ours")


@component("cdan", "losses.cdan:Cdan", cite="arXiv:1705.10667", tags=("adversarial",), diagnostics=_DIAGNOSTICS)
class CdanParams(DannParams):
    """CDAN, and CDAN+E: as DANN, and the discriminator sees embeddings together with predictions."""

    entropy: bool = param(
        True, "CDAN+E: sure predictions count more, in the form of Transfer-Learning-Library; false: CDAN", search=("choice", [True, False])
    )
    largest: int = param(4096, "the largest C times D at which the discriminator sees all products; above it, a random map of them", ge=1)
    random_dim: int = param(1024, "width of the random map; as in Transfer-Learning-Library", ge=1)


@component(
    "language_supcon_reconstructed",
    "losses.language_supcon:LanguageSupcon",
    cite="arXiv:2606.06200",
    evidence="reconstructed",
    tags=("contrastive", "adversarial", "zero-shot"),
    diagnostics={
        "across": "Share of the last batch's pairs of a class that are of two languages; 0 with one labelled language.",
        "speaker_accuracy": "Share of the last batch whose speaker the adversary tells right.",
        "reversal": _DIAGNOSTICS["reversal"],
    },
)
class LanguageSupconParams(AdversaryParams):
    """Ma, Mi and Toda 2026, reconstructed: pairs of a class attract each other, most across languages, and
    an adversary hides the speaker; reads S_l alone.
    """

    language_weight: float = param(
        2.0, "w_x: what a pair of two languages counts, where one of the same language counts 1; ours", ge=1, search=("log", 1.0, 10.0)
    )
    temperature: float = param(0.1, "tau: what cosines are divided by; ours", gt=0, search=("log", 0.02, 1.0))
    speaker_weight: float = param(
        0.1, "b: weight of the speaker term beside the contrastive one; 0: there is none; ours", ge=0, search=("log", 0.01, 1.0)
    )


@component(
    "adogt_reconstructed",
    "methods.adogt:Adogt",
    cite="Gao et al., Adversarial Domain Generalized Transformer for Cross-Corpus Speech Emotion Recognition, "
    "IEEE Transactions on Affective Computing, 2023",
    evidence="reconstructed",
    tags=("adversarial",),
    own_losses=True,
    diagnostics={
        **_DIAGNOSTICS,
        "gate": "Mean share of the network's own embedding in the fused one; 1 where the frozen vector is left out.",
    },
)
class AdogtParams(AdversaryParams):
    """ADoGT, reconstructed: cross-entropy, centre loss and a domain adversary on embeddings that are fused with
    the encoder's frozen vector by a gate.
    """

    centre_weight: float = param(0.01, "lambda_c: weight of centre loss; ours", ge=0, search=("log", 1e-3, 1.0))
    centre_rate: float = param(
        0.5, "alpha: how far centres move in a step; of centre loss's paper", gt=0, le=1, search=("uniform", 0.1, 1.0)
    )
    domain_weight: float = param(1.0, "weight of the domain term; 0: the target is not read; ours", ge=0, search=("log", 0.01, 10.0))
    fusion: bool = param(True, "fuse with the frozen vector; false: the network's embedding alone")


DANN = DannParams.spec
CDAN = CdanParams.spec
LANGUAGE_SUPCON = LanguageSupconParams.spec
ADOGT = AdogtParams.spec
