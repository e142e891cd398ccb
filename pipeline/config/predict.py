"""The `[predict]` part of a config: predictors whose answers become columns of the catalog."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from catalogs.survey import Section


class Predict(Section):
    """Answers for each object, by predictors that `tuningfork train predictor` made."""

    model_config = ConfigDict(serialize_by_alias=True)

    with_: list[str] = Field(default=[], alias="with")
    """Files of predictors; a file's name without `.safetensors` is the predictor's."""
