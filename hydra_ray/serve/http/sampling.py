"""How answers are sampled: the numbers both endpoints take, within OpenAI's bounds."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1, le=128, description="answers wanted")]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
MaxTokens = Annotated[int, Field(ge=1, le=2**31 - 1, description="of one answer")]
Seed = Annotated[int, Field(ge=-(2**62), le=2**62, description="64 bits hold the seeds of further samples too")]
