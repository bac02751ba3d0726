"""A model behind an HTTP interface: send a photo, get the class and its probabilities as JSON.

    pip install "minifast[apps]"
    MODEL=model.pkl uvicorn fastapi_app:app
    curl -F file=@cat.jpg http://127.0.0.1:8000/predict

`model.pkl` is what `learn.export("model.pkl")` wrote for a learner that classifies images. FastAPI answers from several threads; they
may share a `Predictor`.
"""
import os

from fastapi import FastAPI, HTTPException, UploadFile

from minifast.learner.predictor import Predictor

app = FastAPI()
predictor = Predictor(os.environ.get("MODEL", "model.pkl"))


@app.post("/predict")
def predict(file: UploadFile) -> dict:
    try:
        prediction = predictor.predict(file.file.read())
    except OSError as e:                                        # the upload is no image
        raise HTTPException(422, f"{file.filename}: {e}") from e
    return {"label": str(prediction.label), "probabilities": dict(zip(map(str, predictor.vocab), prediction.probs.tolist(), strict=True))}
