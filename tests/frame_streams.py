"""Frames of two rows, pickled by versions of pandas that the tests do not have.

Each was made by the lines below with pandas 1.5.3 and NumPy 1.26 (protocols 5 and 2), pandas 2.2.3
and NumPy 2.0, and pandas 3.0.0 with pyarrow, whose texts are Arrow's; then compressed::

    rows = []
    for i, label in enumerate(["LR2", "LR4A"]):
        mask = np.zeros((3, 2), np.int8)
        mask[i, 1] = 1
        hu = np.arange(6.0).reshape(3, 2) - 600.5 + i
        rows.append((label, mask, hu, hu * mask))
    pd.DataFrame(rows, columns=["label1", "mask", "hu_array_old", "hu_array"])
"""

from __future__ import annotations

import base64
import zlib

_PANDAS_1_5 = (
    "c-oCrJ#Q015WTa{CVYq}ARq`tLxG{N5|n}h2|*ANTrkLewA#Dd^PRl+q1`<NOGFBh5)x^<3{;dUDJdyZ@V{VoeI|BDP`"
    "22ay_<P6Z}n!kT3@*5*rgXrnnzT2!$PobENI3+UwlaweP#Uvc=!o6p`$&L4Fu?W)8T2Zn8+!Y-HhgRz=Q;S<pnRo;oI>"
    "U)Ah|dgYYzv$0?xaNtKsrIOL23CdUNd$g8XzjnT7;tCR{sM~F%U3yWMTQH9C`wrn8i3y5t)4#0PIVAT!aGxVY3yT0c)b"
    "|IP9tw@bZ!$ddUJ%Rnb@&BfFKSHn9d-EHY-TY??g8g;m+Fa{D2JNl&SDu5uHq{ckOr#;`%On;>7F2O;Np`-roqD-ugJe"
    "-R(&gh~$=%sf4wmwpra|qlg2JHW{uGFXf#ktBBzZImSaPP;uk9mif7bR#ZNJy{u(sc}k8D5j4Ed*UR!3))J4YF7!IWG1"
    "FO=hK%|K4hr`YpCowSGlLZ5(QNLbGWRf;OhQI0Li(~wymp>$kxQGUbhJ76@iI4k^!ePFU1P>JJmiR5g9yf)u3J$bKN6W"
    "<O_gu?{M)nvg4G`ap)o_M%p<<{mjV0;-Bmr*%Hu_qO=q9z58K+jE%<CeYL%w@0IHP_MCw@>R!(0pJT>l-`OOhS9eQ&FL"
    "irS_yMN+f9<hK_47nb~mMacJ-*FwIY11(GpEEt_?`E~*sH`zGi%i8&ou_ZH>6*pMWuO1w;}7_rnO?8z$V{sGAXh5r"
)
_PANDAS_1_5_PROTOCOL_2 = (
    "c-obe%X`~I6vbudK_fzW1;VRsT3&7egF}GOrcD#tK&!-op)KMOhLJqBL}b}VGis7H{=U$UILV$R%Pza@l2!7D!OYl^^J"
    "o`nA)k5N`#X26I~#ew$>ItVMZb~oVl`oPZeL@P%^3yj{2$1*kT1CXmSxd;EkWO*h%lBsiCH9ybr!Q4PlP=iHT>m;&d5g"
    "p{&pILp6KnjX&N^}e>vjR(*ZUH{5Y*Q*E)IYX(U6IBy7#53HKYZkV)!G8-tx)w#sQ%@r+|_;)GBAMuq#r=CKwwhTNQT?"
    "7?;i)o;XP7?<#D8^Z+8ZQ&%r^93j8^gH=BUg)N*$hD@5e9_ITh{Z{~w6nd1mkCA+PM^uPj#tX%^38wMV_wd*#H-%U5=I"
    "MdpIV<M<9N-S)I6D(!Rx_bVBEbCDCC<2Z)s$oMxF{fl(2-;nsSC<Oi_X(`7MdF-cB%NYOu5g3+Dn=#oGk$NWAOq6W-H="
    "_X!Fa;e0Tb1)5M?(19Nid?@iz7Fg7Q9}|3%1(v$js*@Pk);=Ye*gt?Ne0I#>=f>cy)qVE<+<maOVdU;VJ^8pNANAzJp8"
    "Q)&e4#x~5_~CfG4psydz>P;oO!$wOdNv#e^N*OWuVg<dX->CVm5<*rJ>gdu4mA>4s_DWp50@0W^+##_*$dBA-ExNGebE"
    "VHBYdRp~_D~9Tx{GJB(V?sBa0rlOP_K_}=p=_0mxFRZOWZqR>|#`z^;(O_1BdZGt;aehWVkxSRNK2|pE%G<t=va#8e{;"
    "5Lo<3caCcZ2bK6ZQUKew6N5<Kq~5H!LR#uQ(gCO1k7~eCcI!o^^#xccC5#v5-KLH&crgfJFH}oQq%af5miuiPaK#+O_d"
    "pVCL&hX7s7Jd#_t5n!IMoUEUs~z=y%s@)Iz-wgk^U?<q(o360u{Mj6yb=XgK-qfH%=}aw<Ov65fU&key3X-6BZcp>Db6"
    "O2u6>rgbivIfIoYtQrQBG7(s7;hw3QRwGsuxZlFMJF1tXsIekwC2gv|i%Cw+u?V!bMd}s*121XH2>"
)
_PANDAS_2_2 = (
    "c-oCr&ui2`6i#-twf?|T3R+RTcyRR)tn}bP5UmKBy2{?mFi9qxu#+FmOsESMYN54-x%KJEV~-v^dg#IbOW(|9?QU(QbC"
    "~xgdGCAg8@@N&oiByw*rgXMTEtZPQ7M?82%0m{mtRsvUs?YU9(;l==xUGT0|EN(ba+-MCJM@>pVNX4n2?~az2Idud^<j"
    "4y1vn55T1qdBn9*Wsf#L$hMbYm<k;Y%&a076EPP&bl~Ez+2w{m}QCUbO>PVT$j*SF;3Bhg1Aq37Ythph4hCXxyH}Hbi9"
    ";6Gp6RS~WsOZ+aCvdPo{@>Q_N9gr>Z+_#lTkuRlc(8$F+w1+upuP3}>T}Rb(><ZjL>7U*N)l1#VVxwFX7}ry(=69)kS^"
    "<1wsKM}y)#?O!CFDvbg11mP#Bcnn*y;gklr7Mqz@+nkDRIXYv<V7pN;*|*zb)!YV5b2W7|(M!~Q9p*U>rUE>Ol=Fy&VN"
    "3*|W5Gmw+>8TO)3r|r?d(5Ijn64vu!ouSMM6l6#8EMitjs2$f_RM0Z}E*McP&q_aLADHw*Dsf=0kb-TJ*XA3hr|)%V;@"
    "i=QahxE%o-P`Nrb~bIiHF-(Z*!c6jIW^Naw><Y_OvEe)uiMx==sTU+_G1g$?Vm8<~sWN)>(ZCS`18MePgGZNofyxDk>D"
    "R)Sgsjg(Qu`&~Ys$GaC*(P7S^VruoUcKys$2WwU|TMU}#d-vT{H5>5x!y-7JQHzkSd3NMo?Ml3Z6`?3!GKQ(EF!2"
)
_PANDAS_3_ARROW = (
    "c-oCr%}*0S6yKH><U{;S<v_SvJXA3zdN5IhXs}QX-b~13ww-o1>{n)IgH0qN2?)vDc=qIxqeqV(IC%E&@uqKPXQ8cN+{"
    "3&#v+w=h$IScflt2G0JLXfPF%4TZ0X4o%C4DYvz~BhxKf*RtRfz;00ctL@sWl_PYF;Rr2&tdc0vgf|6X-kj%#WIzYuO&"
    "%RmFM`-*b~Q7f@G78pd98(`UrhKHB)QHKsz)F4|mO6e8MsBZU`s7WLU#LgOT+#MptFjJs4D)-VRBX(Cu6F+uzL2&(+Ln"
    "wH&|k#-~q^*yW-qfPl#bQnntJnX?b)Qfee?rcD{fga;=m$+%WZR+UFID_Aam19;Ke?HsG_p9soSJxjbnq#&B4QVtrN?J"
    "M*;EtNi>RL8?OlQni0WUuM$}slPBX!j!H}!n!h1igC;(JYPjd>R8g-<4Dz4A#_3DY3%)`+>AAVm+`o+)fdGYYZJv?+C@"
    "va!U7*lgRPy0ZsM1s60{6`@D!#eLupRk@X?SA6vd4iB>bBdYKo8jZ%w-}srO{zQU%h@De6`qMz239pG)MA{+>PTN`Sjp"
    "mIknC|hXs^~481>nnr@D9RfNvXmTNL}$tABcegzGm}&og3Wizp@{@Cq{m^@|%@ktvt5!%kGKEr#(>cW4I`z3&Q<JnC#`"
    "~aBu$!<v2S7koo=``M*%Z^7wD)At;6g^Sk&qO8pOSAM~Zq4Dv#Yy<<tur3nKyK|;1gR`eNOJihyKt{YxyA=dz(&Ze4Q<"
    "2S3ka^7T?PA7A=R~?$g{25GGS+R0%Xg2e`PhI9O1T@*?X+{zx@>{t+G_w3QpXYamXR;J(dTgY6%TugsVx5K^)>j%=4IE"
    "cVg~Z`fC1j)+Tc#C;O2K$Cy&$*Zj3MpnR<sT6BD)1lQq!9aoL4F(lIymnkG4-cM!iLSKiW!2D~*v8sAR;HmB2xgy0t&A"
    "s_$9"
)

STREAMS = {
    "pandas_1_5": _PANDAS_1_5,
    "pandas_1_5_protocol_2": _PANDAS_1_5_PROTOCOL_2,
    "pandas_2_2": _PANDAS_2_2,
    "pandas_3_arrow": _PANDAS_3_ARROW,
}


def stream(name: str) -> bytes:
    """The pickle of that name in ``STREAMS``."""
    return zlib.decompress(base64.b85decode(STREAMS[name]))
