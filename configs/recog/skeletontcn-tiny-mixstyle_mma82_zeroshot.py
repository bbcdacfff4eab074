_base_ = 'skeletontcn-tiny-mixstyle_mma82_indomain.py'
protocol = dict(_delete_=True, name='zeroshot')
