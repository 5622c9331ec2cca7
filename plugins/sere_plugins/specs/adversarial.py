"""Adversarial losses and methods: what they are called and how they are configured."""

from __future__ import annotations

from sere_plugins.specs import Declared, component
from sere_registry import param

_DIAGNOSTICS = {
    "domain_accuracy": "Share of the last batch whose domain the discriminator tells right, each domain counting half; near 0.5 it cannot.",
    "reversal": "How strongly the discriminator's gradient was reversed in the last step.",
}


class DiscriminatorParams(Declared):
    """Parameters of discriminators."""

    hidden: int = param(
        1024, "width of the discriminator's hidden layers; as in Transfer-Learning-Library", ge=4, search=("choice", [64, 256, 1024])
    )
    learning_rate: float = param(1.0, "learning rate of the discriminator, as a multiple; ours", gt=0, search=("log", 0.1, 10.0))


class AdversaryParams(DiscriminatorParams):
    """Parameters of a discriminator behind a gradient reversal."""

    ramp: float = param(
        10.0,
        "a: how early the reversal reaches its full strength, 2 / (1 + exp(-a t)) - 1 at the share t of the stage; the paper's",
        gt=0,
        search=("log", 1.0, 100.0),
    )


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


@component(
    "ssada_reconstructed",
    "methods.ssada:Ssada",
    cite="arXiv:2204.08625",
    evidence="reconstructed",
    tags=("adversarial", "several phases"),
    own_losses=True,
    diagnostics={
        "domain_accuracy": _DIAGNOSTICS["domain_accuracy"],
        "real_accuracy": "Share of real and generated vectors that the second discriminator tells apart, each counting half.",
    },
)
class SsadaParams(DiscriminatorParams):
    """ADDi and sADDi (SSADA), reconstructed: one discriminator of domains, one of generated utterances, which
    also train the classifier.
    """

    pretrain: float = param(
        0.3,
        "share of the epochs in which sADDi trains on S_u and T_u without labels; 0: ADDi; ours",
        ge=0,
        lt=1,
        search=("uniform", 0.0, 0.6),
    )
    domain_weight: float = param(0.1, "a: weight of confusing the discriminator of domains; ours", ge=0, search=("log", 0.01, 1.0))
    generation_weight: float = param(0.1, "b: weight of passing for real; ours", ge=0, search=("log", 0.01, 1.0))
    reconstruction_weight: float = param(1.0, "c: weight of the reconstruction; ours", ge=0, search=("log", 0.1, 10.0))
    synthetic_weight: float = param(
        1.0,
        "weight of cross-entropy on generated utterances beside that on real ones; 1 in the reconstruction",
        ge=0,
        search=("uniform", 0.0, 2.0),
    )
    noise: int = param(16, "width of the generator's noise; ours", ge=0)


@component(
    "cian_standin",
    "methods.cian_standin:CianStandin",
    cite="Zhou et al., CIAN, ICASSP 2025: no more than the title is known",
    evidence="stand-in",
    tags=("adversarial",),
    own_losses=True,
    diagnostics={"consistent": "Share of the last target batch that both classifiers put into the same class."},
)
class CianStandinParams(Declared):
    """a stand-in for CIAN, of which no more than the title is known: two classifiers agree on T_u, and where
    they do, class means move together.
    """

    consistency_weight: float = param(1.0, "a: weight of the classifiers' disagreement on T_u; ours", ge=0, search=("log", 0.1, 10.0))
    alignment_weight: float = param(0.1, "b: weight of the gaps between class means; ours", ge=0, search=("log", 0.01, 1.0))


DANN = DannParams.spec
CDAN = CdanParams.spec
LANGUAGE_SUPCON = LanguageSupconParams.spec
ADOGT = AdogtParams.spec
SSADA = SsadaParams.spec
CIAN_STANDIN = CianStandinParams.spec
