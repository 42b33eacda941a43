"""What was asked and answered, as both sides of a game know it: ids, the salts that open them, and evidence."""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.protocol import roots
from steelyard.protocol.moves import Unit
from steelyard.verification.claim import Claim


@dataclass(frozen=True, slots=True)
class Transcript:
    """Prompt and answer of one receipt."""

    prompt: tuple[int, ...]
    prompt_salt: bytes
    answer: tuple[int, ...]
    """From `answer_from` on: a delivered prefix, then what was generated."""
    answer_salt: bytes
    answer_from: int
    evidence: tuple[bytes, ...]
    """One leaf (32 bytes) a generated unit: to the defender those that it signed, to the challenger its own run's."""

    @staticmethod
    def of(claim: Claim, evidence: Sequence[bytes]) -> "Transcript":
        """That of a claim without defect."""
        ids = claim.prompt, claim.prompt_salt, claim.answer, claim.answer_salt
        return Transcript(*ids, claim.order.answer_from, tuple(evidence))

    def id(self, position: int) -> int:
        """The id at a position of prompt and answer together."""
        prompt = len(self.prompt)
        return self.prompt[position] if position < prompt else self.answer[position - self.answer_from]

    def open(self, position: int) -> Unit:
        """Opens it: the prompt's by the prompt root, others by the response root."""
        if position < len(self.prompt):
            return Unit(*roots.open_unit(self.prompt, self.prompt_salt, position))
        return self.open_answer(position - self.answer_from)

    def open_answer(self, index: int) -> Unit:
        """Opens unit `index` of the response root."""
        return Unit(*roots.open_unit(self.answer, self.answer_salt, index))

    def evidence_leaves(self) -> list[bytes]:
        """Leaf hashes of the evidence root."""
        return roots.evidence_leaves(self.evidence, self.answer_salt, len(self.prompt) - self.answer_from)
