"""Public datasets: their addresses (`URLs`), and `untar_data`, which brings one to this machine and returns its folder."""
import os
from pathlib import Path

from .archives import ArchiveError, dataset_name, unpack_archive
from .download import DownloadError, cached_download, check_url, download_url, read_record, record_file, url_name
from .file_lock import file_lock

__all__ = ["ArchiveError", "DownloadError", "URLs", "download_url", "minifast_home", "untar_data"]

_S3 = "https://s3.amazonaws.com/fast-ai-"


def minifast_home():
    "The folder for downloads (`archive/` and `data/` in it): the environment variable MINIFAST_HOME, else `~/.minifast`."
    return Path(os.environ.get("MINIFAST_HOME") or "~/.minifast").expanduser()


class URLs:
    "Addresses of public datasets, for `untar_data`. Each dataset has its own terms of use."

    # small ones to learn and test with
    ADULT_SAMPLE = f"{_S3}sample/adult_sample.tgz"
    BIWI_SAMPLE = f"{_S3}sample/biwi_sample.tgz"
    CAMVID_TINY = f"{_S3}sample/camvid_tiny.tgz"
    CIFAR = f"{_S3}sample/cifar10.tgz"
    COCO_SAMPLE = f"{_S3}coco/coco_sample.tgz"
    COCO_TINY = f"{_S3}coco/coco_tiny.tgz"
    DOGS = f"{_S3}sample/dogscats.tgz"
    HUMAN_NUMBERS = f"{_S3}sample/human_numbers.tgz"
    IMDB_SAMPLE = f"{_S3}sample/imdb_sample.tgz"
    ML_SAMPLE = f"{_S3}sample/movie_lens_sample.tgz"
    ML_100k = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
    MNIST_SAMPLE = f"{_S3}sample/mnist_sample.tgz"
    MNIST_TINY = f"{_S3}sample/mnist_tiny.tgz"
    MNIST_VAR_SIZE_TINY = f"{_S3}imageclas/mnist_var_size_tiny.tgz"
    PLANET_SAMPLE = f"{_S3}sample/planet_sample.tgz"
    PLANET_TINY = f"{_S3}sample/planet_tiny.tgz"

    # image classification
    CALTECH_101 = f"{_S3}imageclas/caltech_101.tgz"
    CARS = f"{_S3}imageclas/stanford-cars.tgz"
    CIFAR_100 = f"{_S3}imageclas/cifar100.tgz"
    CUB_200_2011 = f"{_S3}imageclas/CUB_200_2011.tgz"
    FLOWERS = f"{_S3}imageclas/oxford-102-flowers.tgz"
    FOOD = f"{_S3}imageclas/food-101.tgz"
    IMAGENETTE = f"{_S3}imageclas/imagenette2.tgz"
    IMAGENETTE_160 = f"{_S3}imageclas/imagenette2-160.tgz"
    IMAGENETTE_320 = f"{_S3}imageclas/imagenette2-320.tgz"
    IMAGEWANG = f"{_S3}imageclas/imagewang.tgz"
    IMAGEWANG_160 = f"{_S3}imageclas/imagewang-160.tgz"
    IMAGEWANG_320 = f"{_S3}imageclas/imagewang-320.tgz"
    IMAGEWOOF = f"{_S3}imageclas/imagewoof2.tgz"
    IMAGEWOOF_160 = f"{_S3}imageclas/imagewoof2-160.tgz"
    IMAGEWOOF_320 = f"{_S3}imageclas/imagewoof2-320.tgz"
    LSUN_BEDROOMS = f"{_S3}imageclas/bedroom.tgz"
    MNIST = f"{_S3}imageclas/mnist_png.tgz"
    PETS = f"{_S3}imageclas/oxford-iiit-pet.tgz"

    # images with masks, boxes or points
    BIWI_HEAD_POSE = f"{_S3}imagelocal/biwi_head_pose.tgz"
    CAMVID = f"{_S3}imagelocal/camvid.tgz"
    PASCAL_2007 = f"{_S3}imagelocal/pascal_2007.tgz"
    PASCAL_2012 = f"{_S3}imagelocal/pascal_2012.tgz"

    # medical images
    SIIM_SMALL = f"{_S3}imagelocal/siim_small.tgz"
    TCGA_SMALL = f"{_S3}imagelocal/tcga_small.tgz"

    # text
    AG_NEWS = f"{_S3}nlp/ag_news_csv.tgz"
    AMAZON_REVIEWS = f"{_S3}nlp/amazon_review_full_csv.tgz"
    AMAZON_REVIEWS_POLARITY = f"{_S3}nlp/amazon_review_polarity_csv.tgz"
    DBPEDIA = f"{_S3}nlp/dbpedia_csv.tgz"
    IMDB = f"{_S3}nlp/imdb.tgz"
    MT_ENG_FRA = f"{_S3}nlp/giga-fren.tgz"
    SOGOU_NEWS = f"{_S3}nlp/sogou_news_csv.tgz"
    WIKITEXT = f"{_S3}nlp/wikitext-103.tgz"
    WIKITEXT_TINY = f"{_S3}nlp/wikitext-2.tgz"
    YAHOO_ANSWERS = f"{_S3}nlp/yahoo_answers_csv.tgz"
    YELP_REVIEWS = f"{_S3}nlp/yelp_review_full_csv.tgz"
    YELP_REVIEWS_POLARITY = f"{_S3}nlp/yelp_review_polarity_csv.tgz"

    # sound
    MACAQUES = "https://storage.googleapis.com/ml-animal-sounds-datasets/macaques.zip"
    ZEBRA_FINCH = "https://storage.googleapis.com/ml-animal-sounds-datasets/zebra_finch.zip"

    @staticmethod
    def path(url=".", c_key="archive"):
        """Where the file of `url` (or a plain name) is, or would be: `data/` or `models/` of the working folder if it is there, else
        the folder `c_key` of `minifast_home()`."""
        name = url_name(url) if "://" in url else url
        for folder in (Path("data"), Path("models")):
            if (folder / name).exists():
                return folder / name
        return minifast_home() / c_key / name


def untar_data(url, archive=None, data=None, force_download=False, base=None, sha256=None, show_progress=True, timeout=10.0):
    """Download the archive at `url`, unpack it, and return the dataset's folder; only what is not there yet is done.

    The archive goes to `base/archive`, the dataset to `base/data/NAME`, with `base=minifast_home()`; `archive` and `data` name other
    folders (relative ones lie in `base`). A single folder at the top of the archive becomes NAME. Also takes a zip, a single .gz and a
    single .csv, .tsv, .txt or .json file. The sha256 of what was downloaded is recorded and checked when the archive is used again;
    `sha256=` demands one. `force_download` fetches and unpacks anew. Any number of processes may ask for the same dataset at once.
    Without a network: put the archive into the archive folder by hand.
    Raises `DownloadError` (an `OSError`) and `ArchiveError` (a `ValueError`).
    """
    check_url(url)
    base = Path(base).expanduser() if base is not None else minifast_home()
    name = url_name(url)
    file = base / Path(archive or "archive").expanduser() / name
    dest = base / Path(data or "data").expanduser() / dataset_name(name)
    if not force_download and _is_unpacked(url, file, dest, sha256):
        return dest
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        need = "datasets need a folder that can be written: set the environment variable MINIFAST_HOME, or pass base='...'"
        raise type(e)(e.errno, f"{e.strerror}; {need}", str(dest.parent)) from e
    with file_lock(dest):
        if not force_download and _is_unpacked(url, file, dest, sha256):         # another process was faster
            return dest
        try:
            cached_download(url, file, show_progress, timeout, sha256, force_download)
        except DownloadError as e:
            raise DownloadError(f"{e}. {_by_hand(file, base)}") from e
        try:
            unpack_archive(file, dest)
        except ArchiveError as e:
            if read_record(file).get("by_hand"):
                raise
            file.unlink(missing_ok=True)
            record_file(file).unlink(missing_ok=True)
            raise ArchiveError(f"{e}. It came from {url} and was deleted; the next call downloads it again.") from e
    return dest


def _is_unpacked(url, file, dest, sha256):
    "Whether `dest` holds the dataset of `url`; `ValueError` when it holds that of another URL with the same file name."
    if not dest.is_dir():
        return False
    record = read_record(file)
    if record.get("url", url) != url:
        raise ValueError(f"{dest} was unpacked from {record['url']}, not from {url}; choose another place for this one with "
                         "untar_data(url, base='...'), or replace it with force_download=True")
    return sha256 is None or record.get("sha256", "").lower() == sha256.lower()


def _by_hand(file, base):
    there = (f" (The {file.name} that is there now is not that file: its sha256 is not the one recorded or asked for. If it is right, "
             f"delete {record_file(file).name}.)") if file.exists() else ""
    return (f"Without a network, put the file by hand at {file}{there} and call again. That folder lies in {base}; set the environment "
            "variable MINIFAST_HOME to use another one.")
