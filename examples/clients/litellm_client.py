# SPDX-License-Identifier: GPL-3.0-only
"""LiteLLM with modeld: a chat, a stream, and vectors.

    pip install litellm
    modeld serve --models-dir models
    python examples/clients/litellm_client.py

``OPENAI_BASE_URL`` names another server than the one on this machine.
"""

import os

import litellm

server = {
    "model": "openai/SmolLM2-135M-Instruct.Q4_1.gguf",  # openai/ and an id from GET /v1/models
    "api_base": os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    "api_key": "unused",  # or a key of the server, where it wants one
}

# A chat.
response = litellm.completion(
    **server,
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    max_tokens=40,
)
print(response.choices[0].message.content)

# A stream.
for chunk in litellm.completion(
    **server,
    messages=[{"role": "user", "content": "Count to five."}],
    max_tokens=40,
    stream=True,
):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
