"""Public datasets: their addresses (`URLs`), and `untar_data`, which brings one to this machine and returns its folder."""
import json
import os
from contextlib import suppress

from ..core.keywords import knows_keywords
from ..core.messages import noting
from ..core.paths import Path
from ..core.types import PathLike
from .archives import ArchiveError, dataset_name, unpack_archive
from .download import DownloadError, check_sha256, check_url, download_url, fetch, file_lock, sha256_of, url_name

__all__ = ["ArchiveError", "DownloadError", "URLs", "download_url", "minifast_home", "untar_data"]

_S3 = "https://s3.amazonaws.com/fast-ai-"


def minifast_home() -> Path:
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
    def path(url: str = ".", c_key: str = "archive") -> Path:
        """Return where the file of a URL is, or would be.

        Args:
            url: an address, or a plain file name.
            c_key: the folder of `minifast_home()` to name when the file is in neither `data/` nor `models/` of the working folder.
        """
        name = url_name(url) if "://" in url else url
        for folder in (Path("data"), Path("models")):
            if (folder / name).exists():
                return folder / name
        return minifast_home() / c_key / name


@knows_keywords
def untar_data(url: str, archive: PathLike | None = None, data: PathLike | None = None, force_download: bool = False,
               base: PathLike | None = None, sha256: str | None = None, show_progress: bool = True, timeout: float = 10.0) -> Path:
    """Download the archive at `url`, unpack it, and return the dataset's folder; only what is not there yet is done.

    Takes a tar (plain, gzip, bzip2, xz), a zip, a single .gz and a single .csv, .tsv, .txt or .json file. A single folder at the top of
    the archive becomes the dataset's folder, which has the archive's name without its ending. The sha256 of what was downloaded is
    recorded and checked when the archive is used again. Any number of processes may ask for the same dataset at once.
    Without a network: put the archive into the archive folder by hand.

    Args:
        url: such as `URLs.PETS`; https only.
        archive: the folder for the archive; default `base/archive`. A relative one lies in `base`.
        data: the folder in which the dataset's folder is made; default `base/data`. A relative one lies in `base`.
        force_download: download and unpack again.
        base: default `minifast_home()`.
        sha256: what the archive must have as its hash.
        show_progress: draw a progress bar on a terminal or in a notebook.
        timeout: seconds, for connecting and for any silence.

    Raises:
        DownloadError: (an `OSError`) the archive could not be downloaded.
        ArchiveError: (a `ValueError`) it is damaged or not safe to unpack.
        ValueError: the folder holds the dataset of another URL with the same file name.
    """
    check_url(url)
    sha256 = check_sha256(sha256)
    base = Path(base).expanduser() if base is not None else minifast_home()
    name = url_name(url)
    file = base / Path(archive or "archive").expanduser() / name
    dest = base / Path(data or "data").expanduser() / dataset_name(name)
    if not force_download and _is_unpacked(url, file, dest, sha256):
        return dest
    with noting("datasets need a folder that can be written: set the environment variable MINIFAST_HOME, or pass base='...'", OSError):
        for folder in (dest.parent, file.parent):
            folder.mkdir(parents=True, exist_ok=True)
    with file_lock(file, base / "locks"):
        if not force_download and _is_unpacked(url, file, dest, sha256):         # another process was faster
            return dest
        if force_download or not _is_sound(url, file, sha256):
            try:
                digest = fetch(url, file, show_progress, timeout, sha256)
            except DownloadError as e:
                raise DownloadError(f"{e}. {_by_hand(file, base)}") from e
            _write_record(file, url=url, size=file.stat().st_size, sha256=digest)
        try:
            unpack_archive(file, dest)
        except ArchiveError as e:
            if _read_record(file).get("by_hand"):
                raise
            file.unlink(missing_ok=True)
            _record_file(file).unlink(missing_ok=True)
            raise ArchiveError(f"{e}. It came from {url} and was deleted; the next call downloads it again.") from e
    return dest


def _record_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _read_record(file: Path) -> dict:
    "What is recorded about a downloaded file: url, size, sha256, by_hand; an empty dict without a (readable) record."
    try:
        record = json.loads(_record_file(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: v for k, v in record.items() if isinstance(v, (str, int))} if isinstance(record, dict) else {}


def _write_record(file: Path, **record: object) -> None:
    _record_file(file).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _is_sound(url: str, file: Path, sha256: str | None) -> bool:
    """Whether `file` was downloaded from this URL and has the hash asked for, or else the one recorded.

    A file put there by hand has no record and is taken for what it is called.
    """
    record = _read_record(file)
    if not file.is_file() or record.get("url", url) != url:
        return False
    digest = sha256_of(file)
    if digest != (sha256 or record.get("sha256", digest)):
        return False
    if record.get("sha256") != digest:
        with suppress(OSError):                    # in a read-only folder the file is as good without a record
            _write_record(file, url=url, size=file.stat().st_size, sha256=digest, by_hand=True)
    return True


def _is_unpacked(url: str, file: Path, dest: Path, sha256: str | None) -> bool:
    "Whether `dest` holds the dataset of `url`; `ValueError` when it holds that of another URL with the same file name."
    if not dest.is_dir():
        return False
    record = _read_record(file)
    if record.get("url", url) != url:
        raise ValueError(f"{dest} was unpacked from {record['url']}, not from {url}; choose another place for this one with "
                         "untar_data(url, base='...'), or replace it with force_download=True")
    return sha256 is None or str(record.get("sha256")).lower() == sha256


def _by_hand(file: Path, base: Path) -> str:
    there = (f" (The {file.name} that is there now is not that file: its sha256 is not the one recorded or asked for. If it is right, "
             f"delete {_record_file(file).name}.)") if file.exists() else ""
    return (f"Without a network, put the file by hand at {file}{there} and call again. That folder lies in {base}; set the environment "
            "variable MINIFAST_HOME to use another one.")
