"""Points that a policy names, held against a ladder: misspelt ones, and ones that the ceiling forbids."""

import difflib
from collections.abc import Iterator

from tidegate.documents import Document, DocumentError, Problem
from tidegate.documents.problem import Path, written
from tidegate.models.ladder import Ladder
from tidegate.policy.choice import allowed
from tidegate.policy.policy import Named, Policy


def check_points(document: Document, policy: Policy, ladder: Ladder) -> None:
    """Raise DocumentError when a rule names a point that the ladder lacks or that the ceiling forbids."""
    if problems := list(_problems(document, policy, ladder)):
        raise DocumentError(document.name, document.text, problems)


def _problems(document: Document, policy: Policy, ladder: Ladder) -> Iterator[Problem]:
    names = [point.name for point in ladder.points]
    within = [point.name for point in allowed(ladder, policy.max_accuracy_loss)]
    uses: list[tuple[Path, object]] = [(("default", "use"), policy.default)]
    uses += [(("rules", index, "use"), rule.use) for index, rule in enumerate(policy.rules)]
    for path, use in uses:
        if not isinstance(use, Named) or use.point in within:
            continue
        mark = document.marks.get(path)
        if mark is None:  # not of this document: what a layer below says was checked there
            continue
        if use.point not in names:
            near = next(iter(difflib.get_close_matches(use.point, names, 1)), "")
            words = ", ".join(dict.fromkeys(("full", "cheapest", "pause", "sleep", *names)))
            yield Problem(mark, written(path), "no such point on the ladder", use.point, words, near)
        else:
            ceiling = f"a point certified within {policy.max_accuracy_loss * 100:g} %"
            hint = f"one of {', '.join(within)}; or raise max_accuracy_loss"
            yield Problem(mark, written(path), "the ceiling forbids this point", use.point, ceiling, hint=hint)
