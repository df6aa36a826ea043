"""The trace of an answer, put together from what the stages made. Pure."""

from hydra_ray.inference.request_state import RequestState
from hydra_ray.inference.reranking import RankedItem, showable
from hydra_ray.inference.selection import CandidateSet, Selection
from hydra_ray.inference.shortening import Version
from hydra_ray.inference.trace import PromptMessage, Trace, TraceCandidate, TraceItem, TracePrompt, TraceVersions
from hydra_ray.inference.types import LLMResponse, RetrievalResult
from hydra_ray.version import __version__


def make_trace(
    state: RequestState,
    request_id: str,
    run: str,
    task: str,
    found: RetrievalResult,
    ranked: list[RankedItem],
    shown: int,
    version: Version,
    sampled: LLMResponse,
    candidates: CandidateSet,
    selection: Selection,
) -> Trace:
    """How an answer came about.

    Args:
        state: Of the request, ended.
        request_id: Its id.
        run: The name of the run that answers.
        task: The task's name.
        found: What was retrieved.
        ranked: The same in the reranker's order.
        shown: Items that might have been shown to the LLM: N.
        version: The version of the prompt that was answered.
        sampled: The LLM's samples.
        candidates: What the adapter chose from.
        selection: How it chose.
    """
    prompt = version.prompt
    return Trace(
        request_id=request_id,
        user_id=state.user.user_id if state.user else None,
        task=task,
        items=found.state.items if found.state else 0,
        retrieved=[
            TraceItem(
                item_id=one.item.item_id,
                text=one.item.text,
                answer=one.item.answer,
                date=one.item.date,
                bm25=found.scores[one.place],
                bm25_rank=one.place,
                reranker=one.score,
                rank=rank,
                in_prompt=rank < prompt.examples,
            )
            for rank, one in enumerate(showable(ranked, shown))
        ],
        prompt=TracePrompt(
            words=sum(len(message["content"].split()) for message in version.messages),
            tokens=sampled.prompt_tokens,
            messages=[PromptMessage(**message) for message in version.messages],
            examples=prompt.examples,
            dropped_examples=prompt.dropped_examples,
            question_cut=prompt.question_cut,
        ),
        candidates=[
            TraceCandidate(
                text=candidates.texts[i],
                votes=candidates.votes[i],
                own=candidates.texts[i] in found.answer_counts,
                adapter=selection.scores[i] if selection.scores else None,
                weight=selection.weights[i] if selection.weights else None,
            )
            for i in selection.order
        ],
        versions=TraceVersions(
            run=run,
            hydra_ray=__version__,
            history=found.state.revision if found.state else 0,
            reranker_heads=state.heads.get("reranker", 0),
            adapter_heads=state.heads.get("adapter", 0),
            own_heads=state.own_heads,
        ),
        ms=state.ms,
        llm_tokens=sampled.completion_tokens,
        degraded=state.degraded,
    )
