"""The model that tritonserver's Python backend loads: stamps in, embeddings out.

A copy of this file lies in every exported repository. The server's Python needs tuningfork installed. Tensors travel by DLPack:
stubs from before NumPy 2 hand out empty NumPy arrays without an error.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from torch.utils.dlpack import from_dlpack, to_dlpack

from actors.encoder import Encoder
from actors.serving import contract
from actors.stamps import without_modalities


class TritonPythonModel:
    """One instance: an encoder on its device."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the encoder; refuse weights that are not those of the export."""
        folder = Path(args["model_repository"]) / args["model_version"]
        options = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        for key in ("checkpoint", "denoise"):
            if options[key] is not None:
                options[key] = str(folder / options[key])
        gpu = args["model_instance_kind"] == "GPU"
        options["device"] = f"cuda:{args['model_instance_device_id']}" if gpu else "cpu"
        config = json.loads(args["model_config"])
        self._half = config["input"][0]["data_type"] == "TYPE_FP16"
        fingerprint = contract.fingerprint(options, Encoder.weights_fingerprint(**options))
        wanted = config["parameters"]["fingerprint"]["string_value"]
        if fingerprint != wanted:
            raise pb_utils.TritonModelException(
                f"{folder}: weights or options are not those of the export ({fingerprint}, not {wanted})"
            )
        self._mark = torch.tensor(list(contract.mark(fingerprint)), dtype=torch.uint8)
        self._encoder = Encoder(**options)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests."""
        tensors = [pb_utils.get_input_tensor_by_name(request, contract.STAMP) for request in requests]
        inputs = [from_dlpack(tensor.to_dlpack()) for tensor in tensors]
        given = torch.cat([each.cpu().float() for each in inputs]).numpy()
        stamps, others = without_modalities(
            given, self._encoder.bands, self._encoder.size, self._encoder.width
        )
        found = torch.from_numpy(self._encoder.embed(stamps, np.arange(len(stamps)), others))
        if self._half:
            found = found.half()
        responses = []
        for embeddings in found.split([len(each) for each in inputs]):
            mark = self._mark.expand(len(embeddings), -1).contiguous()
            answers = ((contract.EMBEDDING, embeddings.clone()), (contract.FINGERPRINT, mark))
            responses.append(
                pb_utils.InferenceResponse(
                    [pb_utils.Tensor.from_dlpack(name, to_dlpack(tensor)) for name, tensor in answers]
                )
            )
        return responses
