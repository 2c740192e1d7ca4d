"""Deployments as backends, and whether they could exist."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from agentflow.documents.reader import Tree
from agentflow.errors import CapacityError, UsageError, quoted
from agentflow.hardware import call_price, check
from agentflow.schema import Backend, Cache, Deployed, Deployment, Evidence, Law, Price
from agentflow.schema._base import Model
from agentflow.units import parse_count

CACHE_BLOCK = 16
"""Tokens of a block of the prefix cache: vLLM's default."""


def check_served(document: Model, tree: Tree) -> None:
    """Note if the deployment in a document could not exist, or not at its load."""
    try:
        if isinstance(document, Deployment):
            check(document)
        elif isinstance(document, Backend) and document.law.deployment is not None:
            law = document.law.deployment
            check(law.deployment, law.input_tokens + law.output_tokens)
    except CapacityError as error:
        tree.add(("law", "deployment") if isinstance(document, Backend) else (), str(error))


def make_deployment(fields: Mapping[str, object]) -> Deployment:
    """Make a deployment of parts that are loaded already.

    Raises
    ------
    UsageError
        With everything that is wrong with its fields.
    """
    try:
        return Deployment.model_validate(dict(fields))
    except ValidationError as error:
        found = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise UsageError("\n".join(found)) from None


def served_backend(deployment: Deployment, name: str, concurrency: str = "") -> Backend:
    """Make a backend of a deployment.

    Its requests have 1,000 tokens in and 500 out, its cache holds every prefix, and its price is that of its
    chips' time, if the document says what a chip costs.

    Parameters
    ----------
    deployment : Deployment
    name : str
        The backend's.
    concurrency : str
        Requests in flight, as the user wrote it; empty for one.

    Raises
    ------
    UsageError
        If that is no number above 0.
    CapacityError
        If not one request fits.
    """
    try:
        load = parse_count(concurrency) if concurrency else 1.0
    except ValueError:
        load = 0.0
    if not 0 < load <= 1e6:
        raise UsageError(f"{quoted(name)}: write the requests in flight behind the @, such as @64")
    law = Deployed(deployment=deployment, concurrency=load)
    check(deployment, law.input_tokens + law.output_tokens)
    price = None
    if deployment.usd_per_chip_hour is not None:
        per_input, per_output = call_price(deployment, load, law.input_tokens, law.output_tokens)
        price = Price(input=per_input, cached_input=0.0, output=per_output)
    source = f"{deployment.model.name} on {deployment.chips} x {deployment.chip.name} with {deployment.engine.name}"
    return Backend(
        name=name,
        provider="deployments",
        model=deployment.model.name,
        description=deployment.description,
        context=deployment.model.context,
        law=Law(deployment=law),
        cache=Cache(block=CACHE_BLOCK),
        price=price,
        evidence=(
            Evidence(figures=("law",), source=source, kind="derived", note="its documents name their sources"),
            Evidence(figures=("cache",), source="every prefix that was sent before is kept", kind="assumed"),
        ),
    )
