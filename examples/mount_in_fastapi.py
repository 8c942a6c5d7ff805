"""Answer with a weighed model inside your own FastAPI application. Run weigh_mnist.py first, in the same folder.

Run it with: python examples/mount_in_fastapi.py

Then ask http://127.0.0.1:8080/models/v2/models/mnist_cnn, or look at http://127.0.0.1:8080/models/live.
"""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

import steelyard


def application(bundle: str = "mnist-plan") -> FastAPI:
    models = steelyard.asgi(bundle)
    app = FastAPI(lifespan=models.lifespan)  # opens the models, and lets go of them once everybody is answered

    @app.get("/")
    def home() -> dict[str, str]:
        return {"models": "/models/v2/models"}

    app.mount("/models", models)
    return app


def main(port: int = 8080) -> None:
    uvicorn.run(application(), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
