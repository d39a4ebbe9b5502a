"""The command line's files, read and checked before anything is changed."""

import argparse
import hashlib
from pathlib import Path

from tidegate.service import machine
from tidegate.service.errors import UsageError
from tidegate.service.plan import Found, Wanted

MANIFEST = "bundle.json"


def wanted(asked: argparse.Namespace, found: Found, clone: Path) -> Wanted:
    """What goes into the files that are to be written. Raises UsageError for what can't be read."""
    profiles = _profiles(clone)
    bundle = getattr(asked, "bundle", None)
    policy = getattr(asked, "policy", None)
    secret = getattr(asked, "broker_password_file", None)
    if secret is not None and not found.has_config and getattr(asked, "broker", None) is None:
        raise UsageError("--broker-password-file is of no use without --broker")
    served = (bundle or profiles / "bundles/digits").resolve()
    usual = profiles / "policies" / ("laptop.yaml" if machine.has_battery() else "always-plugged.yaml")
    return Wanted(
        device=machine.device_name(),
        bundle=served,
        bundle_name=hashlib.sha256(
            _read(served / MANIFEST, "a bundle, which `tidegate bundle build` makes")
        ).hexdigest()[:8],
        replace_bundle=bundle is not None,
        policy=(policy or usual).resolve(),
        policy_text=_read(policy or usual, "a policy").decode(errors="replace"),
        replace_policy=policy is not None,
        password=None if secret is None else _read(secret, "the broker's password").decode().strip() + "\n",
    )


def _profiles(clone: Path) -> Path:
    installed = Path(__file__).resolve().parents[1] / "profiles"
    return installed if installed.is_dir() else clone / "profiles"


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; it has to be {what}") from None
