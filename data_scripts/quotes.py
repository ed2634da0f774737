"""Make lib/falsework/claims/quotes.json from the notes of the talk: each claim's words, digest and place.

    python data_scripts/quotes.py NOTES.txt

The notes are not part of the course; only these short quotes are, each checked to be verbatim.
`offset` counts characters from the start of the notes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "lib" / "falsework" / "claims" / "quotes.json"

QUOTES = {
    "C01": "可以看到,生成的图像还是比较符合文本的描述的",
    "C02": "DALL-E的缩放定律,就像大语言模型的缩放定律一样",
    "C03": "可以看到光和反射、颜色和现状被很好的绘制出来了",
    "C04": "就可以学习到艺术风格,更换一些属性等",
    "C05": "就可以看到能够渲染出文字了",
    "C06": "组合的一个泛化",
    "C07": "甚至是image的上下文学习了",
    "C08": "甚至可以实现image上的一些iq测试",
    "C09": "来压缩世界上所有的像素是一个非常困难的事情,需要建模很多信息",
    "C10": "iGPT能够在scale的时候取得比较好的结果",
    "C11": "CLIP在从图像中提取智能的效率是CLIP的好几个数量级之倍",
    "C12": "是一个有趣的项目,但是不是通向AGI的关键路径",
    "C13": "去学习一个在各个领域都很好的分类器",
    "C14": "通过训练一个图像编码器,用这个编码器来重建这个图像的caption",
    "C15": "那么文生图模型也能够学习到好的表示吗?Aditya得到的答案是:是",
    "C16": "即使你在建模给定文本的图像分布,这个模型也可以转换为分类模型",
    "C17": "转换为给定文本来预测图像",
    "C18": "在最具描述性(ultradescriptive)的文本上训练,会更具有效率",
    "C19": "可以通过将语言当作脚手架,得到一个更好的无监督模型",
    "C20": "如果说图像里没有噪声的话,必须要用每一个具体的像素点来进行描述",
    "C21": "剩下的不确定性仅需要通过一个真正描述性的标题来得到",
    "C22": "为了解释仍然存在信号的部分,只需要一个简单的说明了",
    "C23": "此时并没有标题了,因为anything is possible",
    "C24": "如果给它输入的是每个点的pixel value,那么它可能什么都学不到",
    "C25": "如果计算量还能多,那么就能够从更多的描述性文本中进行学习",
    "C26": "如果有特别大的规模,有可能就完全不需要conditional了",
    "C27": "无条件建模任务的性能也会随着时间推移而提高",
    "C28": "语言可能真的只是脚手架,可以扔掉了,因为视觉世界可能是比文本更通用的界面",
    "C29": "固定了优化目标,和模型结构,去找到更好的数据集",
    "C30": "就可以在视觉空间中进行风格化,而且保持本身的细节",
    "C31": "仅需给模型上半部分的图像,就可以生成对上半部分进行一些改变的下半部分",
    "C32": "这是一个通向各种图像控制的一个路径",
    "C33": "压缩一切可能是正确的路径,而语言只是一个必要的脚手架",
    "C34": "最终也会归为视觉智能",
    "C35": "会给我们一个通用的界面,来模拟任何我们想要的东西",
}


def digest(data: bytes) -> str:
    """Return the sha256 of bytes as hex."""
    return hashlib.sha256(data).hexdigest()


def quotes_of(notes: bytes) -> dict:
    """Return the content of quotes.json for these notes (UTF-8); raises ValueError for other words."""
    text = notes.decode("utf-8")
    found = {}
    for key, quote in QUOTES.items():
        offset = text.find(quote)
        if offset < 0:
            raise ValueError(f"The quote of {key} is {quote!r}, but only words of the notes are allowed.")
        found[key] = {"quote": quote, "sha256": digest(quote.encode("utf-8")), "offset": offset}
    return {"notes_sha256": digest(notes), "quotes": found}


def main(arguments: list[str]) -> str:
    """Write quotes.json and return one line about it, or the sentence that says why not."""
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        return f"The arguments are {arguments}, but exactly one is needed: the file with the notes of the talk."
    try:
        content = quotes_of(Path(arguments[0]).read_bytes())
    except ValueError as fault:
        return str(fault)
    TARGET.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or print(f"{len(QUOTES)} quotes are in {TARGET.name}."))
