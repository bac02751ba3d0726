"Instead of a network: squeezenet1_1 has the weights named SQUEEZENET_FILE, which lie in torch's folder of weights."
import os

if "SQUEEZENET_FILE" in os.environ:
    from torchvision.models import SqueezeNet1_1_Weights

    SqueezeNet1_1_Weights.IMAGENET1K_V1.value.url = f"https://download.pytorch.org/models/{os.environ['SQUEEZENET_FILE']}"
