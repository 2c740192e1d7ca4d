"""The catalogue's table of networks."""

from __future__ import annotations

from pydantic import ValidationError

from agentflow.documents import catalogue
from agentflow.documents.explain import explain
from agentflow.documents.reader import read_tree
from agentflow.errors import NotFoundError
from agentflow.schema.network import Network

FILE = "backends/network.yaml"


def load_network() -> Network:
    """Load the first table of networks in the user's folders and the catalogue.

    Raises
    ------
    NotFoundError
        If there is none.
    DocumentError
        With everything that is wrong with it.
    """
    for folder in catalogue.folders():
        path = folder / FILE
        if path.is_file():
            tree = read_tree(path.read_bytes(), str(path))
            try:
                made = Network.model_validate(tree.data)
            except ValidationError as error:
                explain(error, Network, tree)
                tree.check()
                raise
            return made
    raise NotFoundError(f"there is no {FILE} in the catalogue; put one into a folder of AGENTFLOW_PATH")
