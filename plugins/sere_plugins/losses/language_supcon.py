"""Language-weighted supervised contrast with a speaker adversary (Ma, Mi and Toda 2026, arXiv:2606.06200), reconstructed.

    L    = L_sc + b L_spk                                      beside cross-entropy on S_l, the loss `cross_entropy`
    L_sc = mean_i - sum_{p in P(i)} w_ip log softmax_{a != i}(h_i . h_a / tau)_p / sum_{p in P(i)} w_ip
    w_ip = w_x where i and p are of two languages, else 1
    L_spk = mean CE(speaker, A(h)), its gradient multiplied by -lambda on the way to the network (lambda: as in DANN)

P(i): the other utterances of the class of i.  Reconstructed: the abstract tells the parts; that weights stand at positives and
not in denominators, all numbers, and the adversary A (DANN's discriminator with one output for each speaker) are ours.
h is the embedding g, at length 1 in L_sc.  Zero-shot: it reads S_l and nothing of the target.

With labelled speech of one language no pair is of two: L_sc is then plain SupCon, whatever w_x is, and the record says so.
Utterances of unknown speaker have no part in L_spk.  No class shares are assumed of the target.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import Discriminator, reversal_ramp, reverse_gradient, supervised_contrastive, unit_rows, wide
from sere_plugins.specs.adversarial import LanguageSupconParams
from sere_registry import BuildContext, Group, LabelledBatch, Progress
from sere_registry.guard import warn

NAME = "language_supcon_reconstructed"


class LanguageSupcon(nn.Module):
    """Contrast and, with b above 0, an adversary that names the speaker."""

    def __init__(self, params: LanguageSupconParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        outputs = max(context.speakers, 2)
        self.adversary = Discriminator(context.embedding_dim, params.hidden, outputs) if params.speaker_weight else None
        self._seen: dict[str, Tensor] = {}
        self._reversal = 0.0

    def forward(self, progress: Progress, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        rows, labels, language = wide(labelled.embedding), labelled.labels, labelled.language
        across = language[:, None] != language[None, :]
        if self.params.language_weight != 1 and not across.any():
            warn(NAME, "language", f"{NAME}: the labelled utterances are of one language, so it is SupCon without language weights")
        alike = labels[:, None] == labels[None, :]
        self._seen = {"across": (across & alike).sum() / (alike.sum() - len(rows)).clamp(min=1)}
        weights = torch.where(across, self.params.language_weight, 1.0)
        tau = self.params.temperature
        terms = {"contrast": supervised_contrastive(unit_rows(rows), labels, tau, tau, weights)}
        if self.adversary is not None:
            terms["speaker"] = self.params.speaker_weight * self._speaker(self.adversary, progress, rows, labelled.speaker)
        return terms

    def _speaker(self, adversary: Discriminator, progress: Progress, rows: Tensor, speaker: Tensor) -> Tensor:
        """L_spk over the utterances whose speaker is known; 0 without any."""
        known = speaker >= 0
        if not known.any():
            warn(NAME, "speaker", f"{NAME}: no labelled utterance of a batch has a known speaker, so there is no speaker term")
            return 0.0 * rows.sum()
        self._reversal = reversal_ramp(progress.fraction, self.params.ramp)
        logits = adversary(reverse_gradient(rows[known], self._reversal))
        self._seen["speaker_accuracy"] = (logits.argmax(dim=1) == speaker[known]).float().mean()
        return functional.cross_entropy(logits, speaker[known])

    def parameters_by_group(self) -> Mapping[str, Group]:
        """The adversary has an optimizer of its own."""
        if self.adversary is None:
            return {}
        return {"adversary": Group(list(self.adversary.parameters()), scale=self.params.learning_rate)}

    def diagnostics(self) -> Mapping[str, float]:
        """`across`, `speaker_accuracy` and `reversal` of the last step."""
        found = {name: float(value) for name, value in self._seen.items()}
        return found if self.adversary is None else {**found, "reversal": self._reversal}
