"""The API plane's URLs. Their views answer with an `ApiResponse`, which only the plane's own handler sends."""

from __future__ import annotations

from typing import Any

from django.urls import path

from routing.api import views
from routing.api.base import GatewayView


def _view(view: type[GatewayView]) -> Any:
    return view.as_view()


urlpatterns = [
    path("v1/chat/completions", _view(views.ChatCompletions), name="chat-completions"),
    path("v1/embeddings", _view(views.EmbeddingsView), name="embeddings"),
    path("v1/images/generations", _view(views.ImagesGenerations), name="images-generations"),
    path("v1/audio/speech", _view(views.Speech), name="audio-speech"),
    path("v1/audio/transcriptions", _view(views.Transcriptions), name="audio-transcriptions"),
    path("v1/audio/translations", _view(views.Translations), name="audio-translations"),
    path("v1/messages", _view(views.MessagesView), name="messages"),
    path("v1/messages/count_tokens", _view(views.CountTokens), name="count-tokens"),
    path("v1/messages/<path:rest>", _view(views.NoMessages), name="no-messages"),
    path("v1/responses", _view(views.ResponsesView), name="responses"),
    path("v1/responses/<path:response_id>", _view(views.KeptResponse), name="kept-response"),
    path("v1/completions", _view(views.Completions), name="completions"),
    path("v1/rerank", _view(views.Rerank), name="rerank"),
    path("v1/moderations", _view(views.Moderations), name="moderations"),
    path("v1/models", _view(views.Models), name="models"),
    path("v1/models/<path:model_id>", _view(views.Model), name="model"),
    path("v1beta/models", _view(views.GenerateModels), name="generate-models"),
    path("v1beta/models/<path:model_id>", _view(views.GenerateView), name="generate"),
    path("v1/key", _view(views.Key), name="key"),
    path("v1/credits", _view(views.Credits), name="credits"),
    path("v1/generation", _view(views.Generation), name="generation"),
]
