"""A web page on which a visitor drops a photo and sees what the model thinks of it.

    pip install "minifast[apps]"
    MODEL=model.pkl python gradio_app.py

For a model of any kind there is one already: `minifast app model.pkl`. This is how to write your own.

`model.pkl` is what `learn.export("model.pkl")` wrote for a learner that classifies images.
"""
import os

import gradio as gr

from minifast.vision.all import PILImage, load_learner

learn = load_learner(os.environ.get("MODEL", "model.pkl"))


def classify(image):
    _, _, probs = learn.predict(PILImage.create(image))
    return dict(zip(map(str, learn.dls.vocab), map(float, probs), strict=True))


demo = gr.Interface(fn=classify, inputs=gr.Image(), outputs=gr.Label(num_top_classes=3), title="What is on the photo?")

if __name__ == "__main__":
    demo.launch()
