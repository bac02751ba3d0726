# where does it look: hooks and CAM, after chapter 18 of the book
from fastai.vision.all import *
set_seed(42, True)

path = untar_data(URLs.PETS)/'images'
def is_cat(x): return x[0].isupper()
files = get_image_files(path).sorted()[::3]
dls = ImageDataLoaders.from_name_func(path, files, valid_pct=0.2, seed=21, label_func=is_cat, item_tfms=Resize(96), num_workers=0, bs=8)
learn = vision_learner(dls, squeezenet1_1, metrics=error_rate)
learn.fine_tune(2)
print("error rate:", float(learn.recorder.values[-1][-1]))

img = PILImage.create(path/'Abyssinian_12.jpg')
x, = first(learn.dls.test_dl([img]))
print("x:", tuple(x.shape))

class Hook():
    def __init__(self, m): self.hook = m.register_forward_hook(self.hook_func)
    def hook_func(self, m, i, o): self.stored = o.detach().clone()
    def __enter__(self, *args): return self
    def __exit__(self, *args): self.hook.remove()

class HookBwd():
    def __init__(self, m): self.hook = m.register_full_backward_hook(self.hook_func)
    def hook_func(self, m, gi, go): self.stored = go[0].detach().clone()
    def __enter__(self, *args): return self
    def __exit__(self, *args): self.hook.remove()

learn.model.eval()
learn.unfreeze()
cls = 1
with HookBwd(learn.model[0]) as hookg:
    with Hook(learn.model[0]) as hook:
        output = learn.model(x)
        act = hook.stored
    output[0, cls].backward()
    grad = hookg.stored
w = grad[0].mean(dim=[1, 2], keepdim=True)
cam_map = (w * act[0]).sum(0)
print("cam:", act.shape[1], cam_map.ndim, bool(torch.isfinite(cam_map).all()))
x_dec = TensorImage(dls.train.decode((x,))[0][0])
_, ax = plt.subplots()
x_dec.show(ctx=ax)
ax.imshow(cam_map.detach().cpu(), alpha=0.6, extent=(0, 96, 96, 0), interpolation='bilinear', cmap='magma')
print("decoded:", tuple(x_dec.shape))
probs = F.softmax(output, dim=-1)
print("probs:", tuple(probs.shape), bool(torch.isclose(probs[0, 1], learn.predict(img)[2][1], atol=1e-3)))

# chapter 15: body and head
body = create_body(resnet18(weights=None), cut=-2)
model = nn.Sequential(body, create_head(512, 10, lin_ftrs=[64], ps=0.2))
print("groups:", sum(len(g) for g in default_split(model)), num_features_model(body))
unet = DynamicUnet(body, 2, (64, 64))
print("unet:", tuple(unet.eval()(torch.zeros(1, 3, 64, 64)).shape))
