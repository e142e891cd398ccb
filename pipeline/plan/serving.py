"""Served encoding as a plan sees it: what the servers must offer, and whether they do."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from actors.serving import contract
from catalogs import storage
from catalogs.errors import Fault
from kernels.modalities import Modalities
from pipeline.engine.cluster import is_own

if TYPE_CHECKING:
    from pipeline.config.file import Config

LOOK = 5.0
"""Seconds that a server has to answer a plan."""


def served_options(
    config: Config, folder: str, encoder_options: dict[str, Any], features: int, weights: str
) -> dict[str, Any]:
    """Options of `actors.serving.client.ServedEncoder`, for the encoder that these options would make here."""
    settings, given = config.encode, encoder_options.get("modalities")
    paths = {"ca": settings.tls_ca, "certificate": settings.tls_certificate, "key": settings.tls_key}
    return {
        "endpoints": settings.endpoints,
        "expected": {
            "name": settings.served_name,
            "bands": encoder_options["bands"],
            "size": encoder_options["size"],
            "width": 0 if given is None else Modalities.from_values(given).width,
            "features": features,
            "wire": settings.wire,
            "fingerprint": contract.fingerprint(encoder_options, weights),
            "values": contract.values(encoder_options),
        },
        "batch_size": settings.batch_size,
        "in_flight": settings.in_flight,
        "timeout": settings.timeout,
        "patience": settings.patience,
        "shared_memory": settings.shared_memory,
        "tls": {key: storage.absolute(path, folder) for key, path in paths.items() if path is not None},
    }


def look(
    options: dict[str, Any], source: str, address: str | None = None
) -> tuple[list[Fault], list[str], bool]:
    """Ask every server what it serves.

    On a cluster, an endpoint on loopback is another server on each node: there need be none here.

    Parameters
    ----------
    options : dict
        Of `served_options`.
    source : str
        Path of the config file.
    address : str, optional
        Of the cluster that encodes.

    Returns
    -------
    faults : list of Fault
        Servers that serve something else; all of them, where none answers.
    notes : list of str
        Servers that do not answer, where others do, or are on the encoders' nodes.
    unseen : bool
        Whether no server answers here, and none need to.
    """
    from actors.serving.connection import Connection, Expected, ServerAway  # noqa: PLC0415

    faults, away = [], []
    expected = Expected(**options["expected"])
    for endpoint in options["endpoints"]:
        try:
            Connection(
                endpoint, expected, batch=options["batch_size"], timeout=LOOK, tls=options["tls"]
            ).close()
        except ServerAway as error:
            away.append((endpoint, str(error).removeprefix(f"{endpoint}: ")))
        except (contract.ServingError, OSError) as error:
            remedy = "Export this encoder for the server (tuningfork export-encoder), or correct the config"
            problem = str(error).removeprefix(f"{endpoint}: ")
            faults.append(Fault(source, problem, remedy, value=endpoint, key="encode.endpoints"))
    unseen = len(away) == len(options["endpoints"])
    notes = [f"{endpoint} does not answer ({why}); others do." for endpoint, why in away]
    if unseen and not is_own(address) and all(_on_loopback(endpoint) for endpoint, _ in away):
        notes = [f"{e} does not answer here ({why}): every node that encodes needs one." for e, why in away]
    elif unseen:
        remedy = "Start it (tuningfork serve), or correct the address"
        faults += [
            Fault(source, f"does not answer ({why})", remedy, value=e, key="encode.endpoints")
            for e, why in away
        ]
        return faults, [], False
    return faults, notes, unseen


def _on_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
