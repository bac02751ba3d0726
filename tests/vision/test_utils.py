"""Downloading and shrinking folders of images, against a real server on this machine."""
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from minifast.core.items import L
from minifast.vision.images import verify_images
from minifast.vision.utils import download_images, get_image_files_sorted, resize_image, resize_images


def image(seed, size=(40, 30)):
    file = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(file, "png")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path.startswith("/missing"):
            self.send_error(404)
            return
        if path.startswith("/slow"):
            self.server.released.wait(5)
        body = b"<html>not an image</html>" if path.startswith("/page") else image(len(path))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None                    # who was asked slowly has hung up
    server.released = threading.Event()
    Handler.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def names(folder):
    return sorted(o.name for o in folder.iterdir())


def test_download(tmp_path, recwarn):
    with serving() as url:
        files = download_images(tmp_path / "new" / "folder", urls=[f"{url}/a.png", f"{url}/b.JPEG?x=1", f"{url}/c", f"{url}/d.php"])
    assert isinstance(files, L) and [f.name for f in files] == ["00000000.png", "00000001.jpeg", "00000002.jpg", "00000003.jpg"]
    assert names(tmp_path / "new" / "folder") == [f.name for f in files]                  # nothing else is left behind
    assert files[0].read_bytes() == image(6) and not verify_images(files) and not recwarn


def test_names_are_kept_and_never_collide(tmp_path):
    with serving() as url:
        urls = [f"{url}/x/cat.png", f"{url}/y/cat.png", f"{url}/Cat.png", f"{url}/dog%20one.jpg", f"{url}/"]
        files = download_images(tmp_path, urls, preserve_filename=True, n_workers=1)
    assert [f.name for f in files] == ["cat.png", "cat_1.png", "Cat_2.png", "dog one.jpg", "00000004.jpg"] and len(names(tmp_path)) == 5


def test_max_pics_and_url_file(tmp_path):
    with serving() as url:
        (tmp_path / "urls.txt").write_text("".join(f"{url}/{i}.png\n\n" for i in range(5)))
        files = download_images(tmp_path / "d", url_file=tmp_path / "urls.txt", max_pics=2)
        assert len(files) == 2 and sorted(Handler.asked) == ["/0.png", "/1.png"]


def test_failures_are_counted_once(tmp_path):
    with serving() as url, pytest.warns(UserWarning, match=r"4 of 6 images could not be downloaded: .*; \.\.\.") as caught:
        files = download_images(tmp_path, [f"{url}/ok.png", f"{url}/missing1.png", f"{url}/missing2.png", f"{url}/page.png",
                                           "http://example.invalid/a.png", "ftp://example.invalid/b.png"])
    assert len(caught) == 1 and caught[0].filename == __file__
    assert names(tmp_path) == ["00000000.png", "00000003.png"] and [f.name for f in files] == names(tmp_path)
    assert list(verify_images(files)) == [tmp_path / "00000003.png"]                        # the page is for verify_images to find


@pytest.mark.slow
def test_a_silent_server_is_given_up(tmp_path):
    with serving() as url, pytest.warns(UserWarning, match="1 of 2 images could not be downloaded: .*slow.*nothing came for 0.2 s"):
        assert len(download_images(tmp_path, [f"{url}/slow.png", f"{url}/ok.png"], timeout=0.2)) == 1


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match=r"takes a list of URLs, or url_file="):
        download_images(tmp_path)
    with pytest.raises(TypeError, match=r"takes a list of URLs; received str 'https://x/a.png'. For one write urls=\[url\]"):
        download_images(tmp_path, "https://x/a.png")
    with pytest.raises(ValueError, match=r"resize_images\(n_channels=2\): 1 for grey"):
        resize_images(tmp_path, n_channels=2)


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    Image.new("RGB", (400, 200), (200, 10, 10)).save(source / "wide.png")
    Image.new("RGB", (20, 10), (10, 200, 10)).save(source / "small.png")
    Image.new("L", (100, 300), 90).save(source / "grey.png")
    Image.new("RGB", (90, 60)).save(source / "deep" / "d.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    a = np.zeros((40, 80, 3), np.uint8)
    a[:20, :20] = 255
    Image.fromarray(a).save(source / "turned.png", exif=exif.tobytes())
    return source


def size_of(file):
    with Image.open(file) as im:
        return im.size, im.mode


def test_resize(folder, tmp_path, recwarn):
    dest = tmp_path / "dest"
    files = resize_images(folder, max_size=50, dest=dest)
    assert names(dest) == ["grey.png", "small.png", "turned.png", "wide.png"] and len(files) == 4 and not recwarn
    assert size_of(dest / "wide.png") == ((50, 25), "RGB") and size_of(dest / "grey.png") == ((17, 50), "RGB")
    assert (dest / "small.png").read_bytes() == (folder / "small.png").read_bytes()          # never enlarged: a copy
    assert size_of(dest / "turned.png") == ((25, 50), "RGB")
    with Image.open(dest / "turned.png") as im:                                             # upright now, and says so
        assert im.getpixel((20, 5))[0] > 200 and im.getexif().get(0x0112, 1) == 1
    resize_images(folder, max_size=50, dest=tmp_path / "all", recurse=True, max_workers=1, n_channels=1, ext="jpg", quality=40)
    assert names(tmp_path / "all") == ["deep", "grey.jpg", "small.jpg", "turned.jpg", "wide.jpg"]
    assert size_of(tmp_path / "all" / "deep" / "d.jpg") == ((50, 33), "L")


def test_resize_in_place_and_resume(folder):
    assert size_of(resize_image("wide.png", folder, folder, max_size=100)) == ((100, 50), "RGB")
    before = (folder / "wide.png").stat().st_mtime_ns
    resize_image("wide.png", folder, folder, max_size=10, resume=True)
    assert (folder / "wide.png").stat().st_mtime_ns == before and size_of(folder / "wide.png")[0] == (100, 50)
    resize_images(folder, max_size=30, dest=folder)
    assert size_of(folder / "wide.png")[0] == (30, 15) and size_of(folder / "small.png")[0] == (20, 10)
    assert not [n for n in names(folder) if n.startswith(".")]


def test_pictures_that_cannot_be_resized_are_named(folder, tmp_path):
    (folder / "bad.png").write_bytes(b"<html>")
    with pytest.warns(UserWarning, match=r"1 of 5 images could not be resized: .*bad.png: this is an HTML or XML page"):
        assert len(resize_images(folder, max_size=10, dest=tmp_path / "d")) == 4
    Image.new("RGBA", (8, 8), (1, 2, 3, 0)).save(folder / "clear.png")
    assert size_of(resize_image("clear.png", tmp_path / "e", folder, max_size=4, n_channels=4)) == ((4, 4), "RGBA")
    assert size_of(resize_image("wide.png", tmp_path / "e", folder, n_channels=4)) == ((400, 200), "RGBA")


def test_sorted(folder):
    assert [f.name for f in get_image_files_sorted(folder, recurse=False)] == ["grey.png", "small.png", "turned.png", "wide.png"]


def test_deep_pictures_of_a_folder_get_one_scale(tmp_path):
    for name, white in (("bright", 4095), ("dark", 2047)):
        Image.fromarray(np.linspace(0, white, 256).reshape(16, 16).astype(np.uint16)).save(tmp_path / f"{name}.png")
    for kwargs, expected in (({}, [255, 127]), ({"value_range": (0, 2047)}, [255, 255])):
        files = resize_images(tmp_path, dest=tmp_path / f"dest{len(kwargs)}", max_workers=1, **kwargs)
        assert [np.asarray(Image.open(f)).max() for f in sorted(files)] == expected
    with pytest.raises(ValueError, match=r"resize_images\(value_range=\(9, 1\)\)"):
        resize_images(tmp_path, dest=tmp_path / "wrong", value_range=(9, 1))
    Image.fromarray(np.full((4, 4), -1000.0, np.float32)).save(tmp_path / "x.tif")
    with pytest.warns(UserWarning, match=r"1 of 3 images could not be resized: .*x.tif: pixel values go from -1000"):
        resize_images(tmp_path, dest=tmp_path / "none")
