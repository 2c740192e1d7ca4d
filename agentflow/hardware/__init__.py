"""A roofline of LLM inference: chip x model x deployment to seconds, memory and joules."""

from agentflow.hardware.account import call_energy, call_price, energy_per_token
from agentflow.hardware.architecture import kv_bytes_per_token, parameters
from agentflow.hardware.capacity import MemoryFit, check, memory_fit
from agentflow.hardware.iteration import IterationTable, cache_blocks, handover_seconds, iteration_table
from agentflow.hardware.law import DeploymentLaw, TableLaw, deployment_law
from agentflow.hardware.serving import (
    FirstToken,
    Load,
    decode_step,
    decode_step_time,
    first_token,
    prefill_time,
    serve,
    token_time,
    tokens_per_step,
)
from agentflow.hardware.timing import StepTime

__all__ = [
    "DeploymentLaw",
    "FirstToken",
    "IterationTable",
    "Load",
    "MemoryFit",
    "StepTime",
    "TableLaw",
    "cache_blocks",
    "call_energy",
    "call_price",
    "check",
    "decode_step",
    "decode_step_time",
    "deployment_law",
    "energy_per_token",
    "first_token",
    "handover_seconds",
    "iteration_table",
    "kv_bytes_per_token",
    "memory_fit",
    "parameters",
    "prefill_time",
    "serve",
    "token_time",
    "tokens_per_step",
]
