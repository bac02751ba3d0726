# 3 or 7, from tensors to a network, after chapter 4 of the book
from fastai.vision.all import *
set_seed(42, True)
#import fastbook; fastbook.setup_book()

matplotlib.rc('image', cmap='Greys')
path = untar_data(URLs.MNIST_TINY)
Path.BASE_PATH = path
print(path.ls(), (path/'train').ls().sorted())
threes = (path/'train'/'3').ls().sorted()
sevens = (path/'train'/'7').ls().sorted()
im3 = Image.open(threes[1])
print("image:", im3.size, array(im3)[4:10, 4:10].shape, tensor(im3).shape, tensor(im3).dtype)

seven_tensors = [tensor(Image.open(o).convert('L')) for o in sevens]
three_tensors = [tensor(Image.open(o).convert('L')) for o in threes]
show_image(three_tensors[1])
stacked_sevens = torch.stack(seven_tensors).float()/255
stacked_threes = torch.stack(three_tensors).float()/255
print("stacked:", stacked_threes.ndim, stacked_threes.shape[1:])
mean3, mean7 = stacked_threes.mean(0), stacked_sevens.mean(0)
a_3 = stacked_threes[1]
print("distance:", bool((a_3 - mean3).abs().mean() < (a_3 - mean7).abs().mean()), round(F.l1_loss(a_3.float(), mean7).item(), 2))

valid_3_tens = torch.stack([tensor(Image.open(o).convert('L')) for o in (path/'valid'/'3').ls()]).float()/255
valid_7_tens = torch.stack([tensor(Image.open(o).convert('L')) for o in (path/'valid'/'7').ls()]).float()/255

def mnist_distance(a, b): return (a - b).abs().mean((-1, -2))
def is_3(x): return mnist_distance(x, mean3) < mnist_distance(x, mean7)
accuracy_3s = is_3(valid_3_tens).float().mean()
accuracy_7s = (1 - is_3(valid_7_tens).float()).mean()
print("baseline:", float((accuracy_3s + accuracy_7s)/2))

train_x = torch.cat([stacked_threes, stacked_sevens]).view(-1, 28*28)
train_y = tensor([1]*len(threes) + [0]*len(sevens)).unsqueeze(1)
dset = list(zip(train_x, train_y))
valid_x = torch.cat([valid_3_tens, valid_7_tens]).view(-1, 28*28)
valid_y = tensor([1]*len(valid_3_tens) + [0]*len(valid_7_tens)).unsqueeze(1)
valid_dset = list(zip(valid_x, valid_y))
x, y = dset[0]
print("item:", x.shape, y)

def init_params(size, std=1.0): return (torch.randn(size)*std).requires_grad_()
def mnist_loss(predictions, targets):
    predictions = predictions.sigmoid()
    return torch.where(targets == 1, 1 - predictions, predictions).mean()
def batch_accuracy(xb, yb):
    preds = xb.sigmoid()
    correct = (preds > 0.5) == yb
    return correct.float().mean()

dl = DataLoader(dset, batch_size=64, shuffle=True)
xb, yb = first(dl)
print("batch:", xb.shape, yb.shape)
valid_dl = DataLoader(valid_dset, batch_size=64)
ds = L(enumerate(string.ascii_lowercase))
print("letters:", len(list(DataLoader(ds, batch_size=6, shuffle=True))), ds[0])

set_seed(1)
linear_model = nn.Linear(28*28, 1)
w, b = linear_model.parameters()
print("parameters:", w.shape, b.shape)

class BasicOptim:
    def __init__(self, params, lr): self.params, self.lr = list(params), lr
    def step(self, *args, **kwargs):
        for p in self.params: p.data -= p.grad.data * self.lr
    def zero_grad(self, *args, **kwargs):
        for p in self.params: p.grad = None

opt = BasicOptim(linear_model.parameters(), 1.)
for i in range(5):
    for xb, yb in dl:
        loss = mnist_loss(linear_model(xb), yb)
        loss.backward(); opt.step(); opt.zero_grad()
accs = [batch_accuracy(linear_model(xb), yb) for xb, yb in valid_dl]
print("by hand:", torch.stack(accs).mean().item())

dls = DataLoaders(dl, valid_dl)
learn = Learner(dls, nn.Linear(28*28, 1), opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy)
learn.fit(5, lr=1.)
print("linear:", learn.recorder.values[-1][2])
simple_net = nn.Sequential(nn.Linear(28*28, 30), nn.ReLU(), nn.Linear(30, 1))
learn = Learner(dls, simple_net, opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy)
learn.fit(10, 0.5)
plt.plot(L(learn.recorder.values).itemgot(2))
print("net:", learn.recorder.values[-1][2], len(L(learn.recorder.values).itemgot(2)))
m = learn.model
print("layers:", len(m[0].weight), [type(o).__name__ for o in m])

dls = ImageDataLoaders.from_folder(path, num_workers=0, bs=32)
learn = vision_learner(dls, resnet18, pretrained=False, loss_func=F.cross_entropy, metrics=accuracy)
learn.fit_one_cycle(3, 0.01)
print("resnet:", learn.recorder.values[-1][2])
